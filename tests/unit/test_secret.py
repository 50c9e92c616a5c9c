"""What is taken out of a driver's message."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limnos.model.secret import Secret

MESSAGE = "invalid address: mysql://a:a@a.example:3306/a, as user 'a', with Password: \"a\", pwd=a; access denied"


def test_a_password_of_one_character_is_taken_out_where_passwords_stand_and_leaves_the_words_whole() -> None:
    clean = "invalid address: mysql://a:***@a.example:3306/a, as user 'a', with Password: \"***\", pwd=***; access denied"
    assert Secret("a").scrub(MESSAGE) == clean


@given(st.text(st.characters(codec="ascii", exclude_characters="*"), min_size=1, max_size=8))
def test_the_password_of_an_address_is_taken_out_however_short_it_is(password: str) -> None:
    spelled = quote(password, safe="")
    assert f":{spelled}@" not in Secret(spelled).scrub(f"no answer from postgresql://0:{spelled}@!:5432/!")


@pytest.mark.parametrize("password", ["hunter2", "four"])
def test_a_longer_one_is_taken_out_wherever_it_is(password: str) -> None:
    assert password not in Secret(password).scrub(f"role {password} says {password}{password}")
