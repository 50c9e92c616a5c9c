"""The words of an ODCS contract: every key of the standard is known, whether Limnos acts on it or it is documentation.

Source: Open Data Contract Standard (Bitol, Linux Foundation AI & Data), versions 3.0 to 3.2.
"""

from __future__ import annotations

from limnos.project.shape import Anything, Flag, Key, ListOf, MapOf, Number, OneOf, Record, Shape, Text, Value
from limnos.project.words import MODIFIERS, TABLE

_TEXT = Text()
_DOCUMENTATION = Anything()
_WHOLE = Number(whole=True)


def _record(documentation: str, needed: str = "", /, **keys: Shape) -> Record:
    """Make a record of `keys`, and of the words in `documentation`, which may hold anything; those in `needed` must be there."""
    shapes: dict[str, Shape] = dict.fromkeys(documentation.split(), _DOCUMENTATION)
    return Record({name: Key(shape, required=name in needed.split()) for name, shape in (shapes | keys).items()})


_OPERATORS: dict[str, Shape] = {
    "mustBe": Value(),
    "mustNotBe": Value(),
    "mustBeGreaterThan": Number(),
    "mustBeGreaterOrEqualTo": Number(),
    "mustBeLessThan": Number(),
    "mustBeLessOrEqualTo": Number(),
    "mustBeBetween": ListOf(Number()),
    "mustNotBeBetween": ListOf(Number()),
}
OPERATORS = tuple(_OPERATORS)
METRICS = ("nullValues", "missingValues", "invalidValues", "duplicateValues", "rowCount")
SEVERITIES = ("error", "warning", "info")

QUALITY = _record(
    "authoritativeDefinitions businessImpact customProperties description dimension method name schedule scheduler tags "
    "query engine implementation rule",
    id=Text(pattern="[A-Za-z0-9_-]+", words="an id of letters, digits, - and _"),
    type=Text(choices=("library", "text", "sql", "custom")),
    metric=Text(choices=METRICS),
    severity=Text(choices=SEVERITIES),
    unit=Text(choices=("rows", "percent")),
    arguments=_record("", properties=ListOf(_TEXT), missingValues=_DOCUMENTATION, validValues=ListOf(Value()), pattern=_TEXT),
    **_OPERATORS,
)

# What `implementation` holds where `engine` is `limnos`: a rule that the standard has no words for.
IMPLEMENTATION = Record(
    {
        "rule": Key(_TEXT, "The kind of the rule.", required=True),
        "columns": Key(OneOf((_TEXT, ListOf(_TEXT))), "Its columns."),
        "arguments": Key(MapOf(_DOCUMENTATION), "Its arguments."),
        **MODIFIERS,
    }
)

RELATIONSHIP = _record(
    "id customProperties",
    "to",
    type=Text(choices=("foreignKey",)),
    to=OneOf((_TEXT, ListOf(_TEXT))),
    **{"from": OneOf((_TEXT, ListOf(_TEXT)))},
)

TYPE_OPTIONS = _record(
    "format defaultTimezone dimensions elementType distanceMetric embeddingModel embeddingModelVersion normalized",
    minimum=Value(),
    maximum=Value(),
    exclusiveMinimum=Value(),
    exclusiveMaximum=Value(),
    minLength=_WHOLE,
    maxLength=_WHOLE,
    pattern=_TEXT,
    timezone=Flag(),
    multipleOf=Number(),
    minItems=_WHOLE,
    maxItems=_WHOLE,
    uniqueItems=Flag(),
    minProperties=_WHOLE,
    maxProperties=_WHOLE,
    required=ListOf(_TEXT),
)

_PROPERTY_DOCUMENTATION = (
    "id businessName deprecated synonyms authoritativeDefinitions tags customProperties encryptedName transformSourceObjects "
    "transformLogic transformDescription examples criticalDataElement context"
)
LOGICAL_TYPES = ("string", "date", "timestamp", "time", "number", "integer", "object", "array", "boolean", "map", "vector")

# The parts of a nested column have this same shape; odcs.py reads them with it again.
PROPERTY = _record(
    _PROPERTY_DOCUMENTATION,
    name=_TEXT,
    physicalName=_TEXT,
    logicalType=Text(choices=LOGICAL_TYPES),
    physicalType=_TEXT,
    logicalTypeOptions=TYPE_OPTIONS,
    description=_TEXT,
    classification=_TEXT,
    required=Flag(),
    unique=Flag(),
    primaryKey=Flag(),
    primaryKeyPosition=_WHOLE,
    partitioned=Flag(),
    partitionKeyPosition=_WHOLE,
    semanticType=Text(choices=("column", "measure", "dimension")),
    enum=ListOf(_record("label id description customProperties authoritativeDefinitions tags", "value", value=Value())),
    relationships=ListOf(RELATIONSHIP),
    quality=ListOf(QUALITY),
    properties=ListOf(_DOCUMENTATION),
    items=MapOf(_DOCUMENTATION),
    map=_record("", "key value", key=MapOf(_DOCUMENTATION), value=MapOf(_DOCUMENTATION)),
)

SCHEMA = _record(
    "id businessName deprecated synonyms authoritativeDefinitions tags customProperties dataGranularityDescription context",
    "name physicalName",
    name=_TEXT,
    physicalName=Text(pattern=TABLE, words="the table's name in the lake, such as shop.orders"),
    logicalType=Text(choices=("object",)),
    physicalType=_TEXT,
    description=_TEXT,
    properties=ListOf(PROPERTY),
    relationships=ListOf(RELATIONSHIP),
    quality=ListOf(QUALITY),
)

_MEMBER = _record(
    "id name description dateIn dateOut replacedByUsername tags customProperties authoritativeDefinitions",
    "username",
    username=_TEXT,
    role=_TEXT,
)
_TEAM = _record("id description tags customProperties authoritativeDefinitions", name=_TEXT, members=ListOf(_MEMBER))
_DESCRIPTION = _record("authoritativeDefinitions customProperties", usage=_TEXT, purpose=_TEXT, limitations=_TEXT)
_SLA = _record(
    "id value valueExt unit element driver description scheduler schedule customProperties authoritativeDefinitions",
    "property",
    property=_TEXT,
)

CONTRACT = _record(
    "tenant tags servers dataProduct domain context support price roles slaDefaultElement authoritativeDefinitions customProperties "
    "contractCreatedTs",
    "apiVersion kind id version",
    apiVersion=Text(pattern=r"v3\.[012]\.\d+", words="v3.0.x, v3.1.x or v3.2.x"),
    kind=Text(choices=("DataContract",)),
    id=_TEXT,
    name=_TEXT,
    version=_TEXT,
    status=_TEXT,
    description=OneOf((_DESCRIPTION, _TEXT)),
    schema=ListOf(SCHEMA),
    team=OneOf((_TEAM, ListOf(_MEMBER))),
    slaProperties=ListOf(_SLA),
)
