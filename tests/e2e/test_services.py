from __future__ import annotations

import psycopg
import pymysql
import pytest
from pyarrow.fs import S3FileSystem
from services import S3, MariaDB, Postgres

pytestmark = pytest.mark.e2e


def test_the_postgresql_server_answers_with_the_password_and_not_without(postgres_server: Postgres) -> None:
    with psycopg.connect(postgres_server.dsn) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("limnos",)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres_server.url("postgres", password="wrong"))


def test_the_s3_server_keeps_what_is_written_and_refuses_a_wrong_key(s3_server: S3) -> None:
    def connect(secret_key: str) -> S3FileSystem:
        return S3FileSystem(
            access_key=s3_server.access_key, secret_key=secret_key, region=s3_server.region, endpoint_override=s3_server.endpoint
        )

    place = f"{s3_server.bucket}/services/a b.bin"
    with connect(s3_server.secret_key).open_output_stream(place) as out:
        out.write(b"lake" * 1000)
    with connect(s3_server.secret_key).open_input_file(place) as back:
        assert back.read() == b"lake" * 1000
    with pytest.raises(OSError, match=r"ACCESS_DENIED|SignatureDoesNotMatch"):
        connect("wrong").open_input_file(place)


def test_the_mariadb_server_answers_with_the_password_and_not_without_and_keeps_a_binlog(mariadb_server: MariaDB) -> None:
    def connect(password: str) -> pymysql.Connection:
        return pymysql.connect(host=mariadb_server.host, port=mariadb_server.port, user=mariadb_server.user, password=password)

    with connect(mariadb_server.password) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_user(), @@log_bin, @@binlog_format, @@binlog_row_image, @@gtid_strict_mode")
        assert cursor.fetchone() == ("limnos@127.0.0.1", 1, "ROW", "FULL", 1)
    with pytest.raises(pymysql.OperationalError, match="Access denied"):
        connect("wrong")
