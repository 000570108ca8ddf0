"""Answers under a schema: what is sent is what the schema dumps and the document says, or nothing is."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import ipaddress
import json
import math
import re
import uuid
import warnings
from fractions import Fraction
from typing import Any

import marshmallow
import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker  # type: ignore[import-untyped]
from marshmallow import validate

from modelserve.errors import BadAnswer
from modelserve.v2 import fields
from modelserve.v2.answers import Renderer
from modelserve.v2.describe import describe
from tests.v2.running import made
from tests.v2.values import ALL, NULLED, pd

JSON = "application/json"
UTC = datetime.UTC
# Its stubs know fewer values than it takes.
np: Any = numpy
AT = datetime.datetime(2024, 1, 31, 12, 30, tzinfo=UTC)
DAY = datetime.date(2024, 1, 31)


class K(enum.Enum):
    DOG = "dog"
    CAT = "cat"


class Swapped(enum.Enum):
    """Each value is the other's name."""

    A = "B"
    B = "A"


class Level(enum.IntEnum):
    LOW = 1


class Name(enum.StrEnum):
    DOG = "CAT"
    CAT = "DOG"


class Inner(marshmallow.Schema):
    k = fields.Enum(K, required=True)
    at = fields.DateTime(format="timestamp")


class Hex(fields.Field):  # type: ignore[type-arg, unused-ignore]
    """An author's own field."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        return f"{value:#x}"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        return int(value, 16)


@dataclasses.dataclass
class Found:
    k: K
    at: datetime.datetime | None = None


STAMP = AT.timestamp()

# A field, and values with what is sent of each; None is a bad answer.
TABLE: dict[str, tuple[Any, list[tuple[Any, Any]]]] = {
    "enum": (
        fields.Enum(K),
        [(K.DOG, "DOG"), ("CAT", "CAT"), ("dog", None), (Level.LOW, None), (1, None), (None, None)],
    ),
    "enum of swapped": (fields.Enum(Swapped), [(Swapped.A, "A"), ("A", "A"), (Swapped.B, "B")]),
    "enum of numbers": (fields.Enum(Level), [(Level.LOW, "LOW"), ("LOW", "LOW"), (1, None)]),
    "enum of texts": (fields.Enum(Name), [(Name.DOG, "DOG"), ("DOG", "DOG")]),
    "enum or null": (fields.Enum(K, allow_none=True), [(None, None), (K.CAT, "CAT")]),
    "enum by value": (fields.Enum(K, by_value=True), [(K.DOG, "dog"), ("cat", "cat"), ("DOG", None)]),
    "enum by a field": (fields.Enum(Level, by_value=fields.Int()), [(Level.LOW, 1), (1, 1), (2, None), ("LOW", None)]),
    "int": (
        fields.Int(),
        [
            *[(3, 3), (3.0, 3), ("3", 3), (True, None), (np.int8(3), 3), (np.float32(3), 3), (np.bool_(True), None)],
            *[(decimal.Decimal("3.0"), 3), (decimal.Decimal(2**70), 2**70), (Fraction(4, 2), 2), (Level.LOW, 1)],
            *[(3.7, None), ("3.7", None), (np.float64(3.7), None), (decimal.Decimal("3.7"), None), (1j, None)],
            *[("x", None), (None, None), ([3], None), (math.nan, None), (np.array(3), 3), (np.array(3.7), None)],
        ],
    ),
    "strict int": (fields.Int(strict=True), [(3, 3), (np.int64(3), 3), (3.5, None), ("x", None)]),
    "int as text": (fields.Int(as_string=True), [(3, "3"), ("3", "3"), (3.7, None), (np.int64(3), "3")]),
    "int with a limit": (fields.Int(validate=validate.Range(max=3)), [(3, 3), (4, None), ("4", None), (4.0, None)]),
    "float": (
        fields.Float(),
        [
            *[(1.5, 1.5), (3, 3), ("1.5", 1.5), (True, None), (np.float32(0.1), 0.1), (decimal.Decimal("1.5"), 1.5)],
            *[(Fraction(1, 2), 0.5), (np.longdouble(0.5), 0.5), ("x", None), (1j, None), (math.inf, None)],
            *[(decimal.Decimal("NaN"), None), (np.array(0.5), 0.5), ([1.5], None), (K.DOG, None)],
        ],
    ),
    "float as text": (fields.Float(as_string=True), [(1.5, "1.5"), ("1.5", "1.5"), (3, "3.0"), ("x", None)]),
    "bool": (
        fields.Bool(),
        [
            *[
                (True, True),
                ("yes", True),
                ("off", False),
                (1, True),
                (0, False),
                (np.bool_(False), False),
                ("x", None),
            ],
            *[(2, None), ([], None), (np.int64(1), True)],
        ],
    ),
    "str": (
        fields.Str(),
        [("a", "a"), (np.str_("a"), "a"), (K.DOG, "dog"), (AT, AT.isoformat()), (5, None), (b"a", None), (None, None)],
    ),
    "decimal": (
        fields.Decimal(),
        [
            *[(decimal.Decimal("1.50"), 1.5), (1.5, 1.5), (3, 3), ("1.50", 1.5), ("x", None), (np.float64(1.5), 1.5)],
            *[(decimal.Decimal("NaN"), None), (decimal.Decimal("1E+3"), 1000)],
        ],
    ),
    "decimal as text": (
        fields.Decimal(as_string=True),
        [(decimal.Decimal("1.50"), "1.50"), (1.5, "1.5"), ("1.50", "1.50"), ("x", None)],
    ),
    "decimal with places": (fields.Decimal(places=1), [(decimal.Decimal("1.55"), 1.6), (decimal.Decimal(1), 1.0)]),
    "uuid": (
        fields.UUID(),
        [(uuid.UUID(int=1), str(uuid.UUID(int=1))), (uuid.UUID(int=1).hex, str(uuid.UUID(int=1))), ("x", None)],
    ),
    "datetime": (
        fields.DateTime(),
        [
            *[(AT, "2024-01-31T12:30:00+00:00"), ("2024-01-31T12:30:00Z", "2024-01-31T12:30:00Z")],
            *[("2024-01-31 12:30", "2024-01-31T12:30:00"), (AT.replace(tzinfo=None), "2024-01-31T12:30:00")],
            *[(np.datetime64("2024-01-31T12:30"), "2024-01-31T12:30:00"), (np.datetime64("NaT"), None)],
            *[(DAY, "2024-01-31T00:00:00"), ("x", None), (5, None), (STAMP, None)],
        ],
    ),
    "timestamp": (
        fields.DateTime(format="timestamp"),
        [(AT, STAMP), (STAMP, STAMP), (np.datetime64("2024-01-31T12:30"), STAMP), ("x", None), ("2024-01-31", None)],
    ),
    "milliseconds": (fields.DateTime(format="timestamp_ms"), [(AT, STAMP * 1000), (5, 5), ("x", None)]),
    "rfc": (fields.DateTime(format="rfc"), [(AT, "Wed, 31 Jan 2024 12:30:00 +0000"), ("2024-01-31", None)]),
    "datetime by format": (
        fields.DateTime(format="%d.%m.%Y %H:%M"),
        [(AT, "31.01.2024 12:30"), ("1.2.2024 3:04", "01.02.2024 03:04"), (AT.isoformat(), None)],
    ),
    "naive": (fields.NaiveDateTime(), [(AT.replace(tzinfo=None), "2024-01-31T12:30:00"), (AT, None)]),
    "aware": (fields.AwareDateTime(), [(AT, "2024-01-31T12:30:00+00:00"), (AT.replace(tzinfo=None), None)]),
    "date": (
        fields.Date(),
        [
            *[
                (DAY, "2024-01-31"),
                (AT, "2024-01-31"),
                ("2024-01-31", "2024-01-31"),
                (np.datetime64(DAY), "2024-01-31"),
            ],
            *[("x", None), (5, None), (datetime.time(1), None)],
        ],
    ),
    "date by format": (
        fields.Date(format="%d/%m/%Y"),
        [(DAY, "31/01/2024"), (AT, "31/01/2024"), ("31/01/2024", "31/01/2024"), ("2024-01-31", None)],
    ),
    "date that is read two ways": (fields.Date(format="%Y-%d-%m"), [(datetime.date(2024, 2, 1), "2024-01-02")]),
    "time": (fields.Time(), [(datetime.time(1, 2), "01:02:00"), ("01:02:00", "01:02:00"), (DAY, None), ("x", None)]),
    "time by format": (fields.Time(format="%H:%M"), [(datetime.time(1, 2), "01:02"), ("1:02", "01:02")]),
    "timedelta": (
        fields.TimeDelta(),
        [
            *[(datetime.timedelta(minutes=1), 60), (60, 60), ("60", 60), (np.timedelta64(1, "m"), 60), ("x", None)],
            *[(np.timedelta64("NaT", "s"), None)],
        ],
    ),
    "timedelta in ms": (fields.TimeDelta(precision="milliseconds"), [(datetime.timedelta(seconds=2), 2000)]),
    "ip": (fields.IP(), [(ipaddress.ip_address("::1"), "::1"), ("127.0.0.1", "127.0.0.1"), ("x", None)]),
    "long ip": (fields.IPv6(exploded=True), [(ipaddress.ip_address("::1"), "0000:" * 7 + "0001")]),
    "interface": (fields.IPInterface(), [(ipaddress.ip_interface("10.0.0.1/8"), "10.0.0.1/8")]),
    "url": (fields.Url(), [("https://example.org", "https://example.org"), ("x", None)]),
    "list of enums": (
        fields.List(fields.Enum(K)),
        [([K.DOG, "CAT"], ["DOG", "CAT"]), ({K.DOG}, ["DOG"]), (["x"], None)],
    ),
    "list of ints": (
        fields.List(fields.Int()),
        [
            *[([1, 2], [1, 2]), ((1, 2), [1, 2]), (range(2), [0, 1]), ({2, 1}, [1, 2]), (np.arange(2), [0, 1])],
            *[(np.array([1.0, 2.0]), [1, 2]), (np.array([1.5]), None), ([1.5], None), ("12", None)],
            *[(np.array([True]), None), (collections.deque([1]), [1]), ({"a": 1}, None), (np.array(1), None)],
        ],
    ),
    "list of lists": (
        fields.List(fields.List(fields.Float())),
        [(np.eye(1), [[1.0]]), ([np.array([0.5]), (1,)], [[0.5], [1]]), (np.array([math.nan]), None), ([["x"]], None)],
    ),
    "tuple": (
        fields.Tuple((fields.Enum(K), fields.Int())),
        [((K.DOG, 3.0), ["DOG", 3]), (["CAT", 1], ["CAT", 1]), ((1,), None)],
    ),
    "dict": (
        fields.Dict(keys=fields.Enum(K), values=fields.Int()),
        [({K.DOG: 1.0}, {"DOG": 1}), ({"CAT": 1}, {"CAT": 1}), ({"x": 1}, None), ({K.DOG: 1, "DOG": 2}, None)],
    ),
    "dict of dates": (fields.Dict(keys=fields.Date(format="%d/%m/%Y")), [({DAY: 1}, {"31/01/2024": 1})]),
    "dict of ints": (
        fields.Dict(keys=fields.Int()),
        [({1: "a"}, {"1": "a"}), ({"1": "a"}, {"1": "a"}), ({"x": 1}, None)],
    ),
    "nested": (
        fields.Nested(Inner),
        [
            *[({"k": K.DOG, "at": AT}, {"k": "DOG", "at": STAMP}), (Found(K.DOG, AT), {"k": "DOG", "at": STAMP})],
            *[({"k": "x"}, None), ({}, None), ({"k": K.DOG, "z": 1}, None), (5, None), ([{"k": K.DOG}], None)],
            (collections.OrderedDict(k=K.CAT), {"k": "CAT"}),
        ],
    ),
    "many": (
        fields.Nested(Inner, many=True),
        [(({"k": K.DOG},), [{"k": "DOG"}]), ([Found(K.DOG, AT)], [{"k": "DOG", "at": STAMP}])],
    ),
    "nested without the rest": (fields.Nested(Inner, unknown="exclude"), [({"k": K.DOG, "z": 1}, {"k": "DOG"})]),
    "plucked": (fields.Pluck(Inner, "k"), [({"k": K.DOG}, "DOG"), (K.DOG, "DOG"), ("CAT", "CAT"), ("x", None)]),
    "plucked list": (fields.Pluck(Inner, "k", many=True), [([{"k": K.DOG}, K.CAT], ["DOG", "CAT"])]),
    "constant": (fields.Constant(3), [(3, 3), (4, 3), ("3", 3)]),
    "raw": (fields.Raw(), [({"a": {1}}, {"a": [1]}), (K.DOG, "dog")]),
    "delimited": (fields.DelimitedList(fields.Int()), [([1, 2], "1,2"), ("1,2", "1,2"), ("x", None)]),
    "array": (
        fields.NDArray(dtype="float32", shape=(None,)),
        [(np.float32([0.1]), [0.1]), ([0.5], [0.5]), (np.array([1]), [1]), (np.array([1j]), None), ([[1]], None)],
    ),
    "complex array": (fields.NDArray(dtype="complex64"), [(np.complex64([1j]), None)]),
    "author's": (Hex(), [(255, "0xff"), ("0xff", "0xff"), ("x", None)]),
}

if pd is not None:
    TABLE |= {
        "pandas times": (
            fields.DateTime(format="timestamp"),
            [(pd.Timestamp("2024-01-31 12:30"), STAMP), (pd.NaT, None), (pd.NA, None)],
        ),
        "pandas days": (fields.Date(format="%d/%m/%Y"), [(pd.Timestamp("2024-01-31"), "31/01/2024"), (pd.NaT, None)]),
        "pandas lengths": (fields.TimeDelta(), [(pd.Timedelta("1min"), 60), (pd.NaT, None)]),
        "pandas ints": (fields.List(fields.Int()), [(pd.Index([1, 2]), [1, 2]), (pd.array([1, None]), None)]),
    }

# A datetime without a zone is published as one with it, as marshmallow's plugin of apispec does.
FORMATS = FormatChecker(["date", "uuid", "ipv4", "ipv6"])


@FORMATS.checks("date-time")  # type: ignore[untyped-decorator]
def is_date_time(text: Any) -> bool:
    return re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?", text) is not None


CASES = [(name, place) for name, (_, values) in TABLE.items() for place in range(len(values))]


def published(renderer: Renderer, **options: Any) -> Any:
    """Return what checks an answer by the document that is published of it."""
    model = made(get_metadata=lambda: {"name": "M", "description": "."}, predict=print)
    described = describe(
        model, name="m", distribution={}, parser=None, train_parser=None, renderer_schema=renderer.schema, **options
    )
    document = json.loads(json.dumps(described.response).replace("#/components/schemas/", "#/$defs/"))
    found = json.loads(json.dumps(described.components).replace("#/components/schemas/", "#/$defs/"))
    return Draft202012Validator({**document, "$defs": found}, format_checker=FORMATS)


def sent(schema: Any, value: Any, **options: Any) -> Any:
    """Return what is sent, None where nothing is."""
    renderer = Renderer(schema, **options)
    try:
        document = json.loads(renderer.render(1, value, JSON).body)
    except BadAnswer:
        return None
    published(renderer, nan_is_null=options.get("nan") == "null").validate(document)
    return document


PLACES: dict[str, tuple[Any, Any]] = {
    "alone": (lambda field: {"x": field}, lambda value: {"x": value}),
    "in a list": (lambda field: {"x": fields.List(field)}, lambda value: {"x": [value]}),
    "in a dict": (lambda field: {"x": fields.Dict(values=field)}, lambda value: {"x": {"a": value}}),
    "nested": (lambda field: {"x": fields.Nested({"y": field})}, lambda value: {"x": {"y": value}}),
    "beside a set": (lambda field: {"x": field, "z": fields.Raw()}, lambda value: {"x": value, "z": {1}}),
    "beside a large int": (lambda field: {"x": field, "z": fields.Raw()}, lambda value: {"x": value, "z": 2**70}),
    "beside an enum": (lambda field: {"x": field, "z": fields.Enum(K)}, lambda value: {"x": value, "z": K.DOG}),
}


@pytest.mark.parametrize(("name", "number"), CASES)
def test_what_is_sent_is_what_the_schema_dumps_and_the_document_says(name: str, number: int) -> None:
    """V4, V5."""
    field, values = TABLE[name]
    value, expected = values[number]
    for place, (within, around) in PLACES.items():
        document = sent(within(field), around(value))
        if expected is None and not (value is None and field.allow_none):
            assert document is None, place
        else:
            rest: dict[str, Any] = {
                "beside a set": {"z": [1]},
                "beside a large int": {"z": 2**70},
                "beside an enum": {"z": "DOG"},
            }
            assert document == {**around(expected), **rest.get(place, {})}, place


@pytest.mark.parametrize("name", TABLE)
def test_what_was_sent_may_be_answered_again(name: str) -> None:
    field, values = TABLE[name]
    for _, expected in values:
        if expected is not None:
            assert sent({"x": field}, {"x": expected}) == {"x": expected}


def test_names_defaults_and_fields_of_one_direction() -> None:
    class Whole(marshmallow.Schema):
        named = fields.Int(data_key="Named")
        read = fields.Int(attribute="inside")
        given = fields.Enum(K, dump_default=K.DOG)
        made = fields.Int(dump_default=lambda: 5)
        secret = fields.Str(load_only=True, required=True)
        number = fields.Int(dump_only=True)
        always = fields.Constant("c")
        upper = fields.Function(lambda answer: answer["label"].upper())
        length = fields.Method("count")
        label = fields.Str()

        def count(self, answer: Any) -> int:
            return len(answer["label"])

    value = {"named": 1.0, "inside": 2, "secret": "s", "number": 3, "label": "ab"}
    rest = {"given": "DOG", "made": 5, "always": "c", "upper": "AB", "length": 2, "label": "ab"}
    assert sent(Whole, value) == {"Named": 1, "read": 2, "number": 3, **rest}
    assert sent(Whole, {"Named": 1, "label": "ab"}) == {"Named": 1, **rest}
    assert sent({"x": fields.Nested(Whole)}, {"x": value}) == {"x": {"Named": 1, "read": 2, "number": 3, **rest}}
    assert sent(Whole, {"named": 1, "Named": 2, "label": "ab"}) is None


def test_keys_that_the_schema_excludes_are_not_sent() -> None:
    class Some(marshmallow.Schema):
        x = fields.Int()

        class Meta:
            unknown = marshmallow.EXCLUDE

    assert sent(Some, {"x": 1, "y": 2}) == {"x": 1}


def test_hooks_that_dump_are_run() -> None:
    class Hooked(marshmallow.Schema):
        x = fields.Int()
        total = fields.Int()

        @marshmallow.pre_dump
        def opened(self, value: Any, **kwargs: Any) -> Any:
            return value["result"]

        @marshmallow.post_dump
        def summed(self, value: Any, **kwargs: Any) -> Any:
            return {**value, "total": value["x"] + 1}

    assert sent(Hooked, {"result": {"x": 1.0}}) == {"x": 1, "total": 2}


def test_a_schema_within_itself_is_dumped_at_every_depth() -> None:
    class Tree(marshmallow.Schema):
        k = fields.Enum(K)
        below = fields.List(fields.Nested(lambda: Tree()))

    value = {"k": K.DOG, "below": [{"k": K.CAT, "below": ({"k": K.DOG},)}]}
    assert sent(Tree, value) == {"k": "DOG", "below": [{"k": "CAT", "below": [{"k": "DOG"}]}]}


def test_another_name_of_a_member_is_sent_as_the_members_own() -> None:
    alias = enum.Enum("alias", {"RED": 1, "CRIMSON": 1})
    for value in ("CRIMSON", alias["CRIMSON"], "RED"):
        assert sent({"x": fields.Enum(alias)}, {"x": value}) == {"x": "RED"}
        assert sent({"x": fields.List(fields.Enum(alias))}, {"x": [value]}) == {"x": ["RED"]}
    assert sent({"x": fields.Enum(alias)}, b'{"x":"CRIMSON"}') == {"x": "RED"}


def test_a_schema_within_itself_has_the_fields_of_answers_at_every_depth() -> None:
    class Tree(marshmallow.Schema):
        id = fields.Int(dump_only=True)
        secret = fields.Str(load_only=True)
        below = fields.List(fields.Nested(lambda: Tree()))
        bare = fields.Nested(lambda: Tree(only=("id",)))

    below = [{"id": 2, "secret": "s", "below": [{"id": 3, "bare": {"id": 4}}]}]
    assert sent(Tree, {"id": 1, "below": below}) == {
        "id": 1,
        "below": [{"id": 2, "below": [{"id": 3, "bare": {"id": 4}}]}],
    }
    assert sent(Tree, {"below": [{"below": [{"id": "no"}]}]}) is None
    assert sent(Tree, {"bare": {"below": []}}) is None


def test_schemas_that_nest_each_other_are_ready_in_time() -> None:
    made: dict[int, type[marshmallow.Schema]] = {}

    def another(number: int) -> Any:
        return fields.Nested(lambda: made[number]())

    for number in range(9):
        others = {f"to{each}": another(each) for each in range(9)}
        made[number] = type(f"Of{number}", (marshmallow.Schema,), {"id": fields.Int(dump_only=True), **others})
    assert sent(made[0], {"to8": {"to3": {"to0": {"id": 1}}}}) == {"to8": {"to3": {"to0": {"id": 1}}}}


def test_a_dataclass_of_which_a_slot_is_empty_is_sent_without_it() -> None:
    @dataclasses.dataclass(slots=True)
    class Found:
        x: int = 1
        later: int = dataclasses.field(init=False)

    assert sent({"found": fields.Raw()}, {"found": Found()}) == {"found": {"x": 1}}
    assert sent({"x": fields.Int(), "later": fields.Int(), "k": fields.Enum(K)}, Found()) == {"x": 1}


def test_null_is_sent_for_nan_where_the_field_allows_it() -> None:
    for field in (fields.Float(allow_nan=True), fields.Decimal(allow_nan=True)):
        for value in (math.nan, decimal.Decimal("NaN")):
            assert sent({"x": field, "k": fields.Enum(K)}, {"x": value, "k": K.DOG}, nan="null") == {
                "x": None,
                "k": "DOG",
            }
            assert sent({"x": field}, {"x": value}) is None


@pytest.mark.parametrize("name", [name for name, (_, text) in NULLED.items() if text == "null"])
@pytest.mark.parametrize(
    "field",
    [
        *(
            kind(allow_none=True)
            for kind in (fields.Int, fields.Float, fields.Decimal, fields.Bool, fields.Str, fields.Raw)
        ),
        *(kind(allow_none=True) for kind in (fields.DateTime, fields.Date, fields.Time, fields.TimeDelta)),
        *(kind(allow_none=True) for kind in (fields.UUID, fields.IP, fields.Dict)),
        fields.Enum(K, allow_none=True),
    ],
    ids=lambda field: type(field).__name__,
)
def test_what_is_missing_is_null_by_setting_alone(field: Any, name: str) -> None:
    for schema, value, answer in (
        ({"x": field}, {"x": NULLED[name][0]}, {"x": None}),
        ({"x": fields.List(field)}, {"x": [NULLED[name][0]]}, {"x": [None]}),
    ):
        with pytest.raises(BadAnswer) as refused:
            Renderer(schema).render(1, value, JSON)
        assert re.match(r"x(\[0\])?: .*, which JSON cannot say; ", str(refused.value.log)), refused.value.log
        assert sent(schema, value, nan="null") == answer


def test_a_value_that_is_no_json_is_refused_with_its_place() -> None:
    for field in (fields.Str(), fields.Int(), fields.Date(), fields.UUID(), fields.Enum(K)):
        with pytest.raises(BadAnswer) as refused:
            Renderer({"x": fields.List(field)}).render(1, {"x": [b"x"]}, JSON)
        assert str(refused.value.log).startswith("x[0]: type bytes; ")


def test_json_that_the_model_wrote_has_the_schemas_form_too() -> None:
    assert sent({"k": fields.Enum(K), "n": fields.Int()}, b'{"k": "DOG", "n": 3}') == {"k": "DOG", "n": 3}
    assert sent({"n": fields.Int(), "ok": fields.Bool()}, b'{"n": "3", "ok": 1}') == {"n": 3, "ok": True}
    assert Renderer({"ok": fields.Bool()}).render(1, b'{"ok": 1}', JSON).body == b'{"ok":true}'
    assert Renderer({"n": fields.Int(), "at": fields.DateTime()}).render(1, b'{ "n": 3 }', JSON).body == b'{ "n": 3 }'
    assert sent({"n": fields.Int(), "d": fields.Int(dump_default=1)}, b'{"n": 3}') == {"n": 3, "d": 1}
    assert sent({"n": fields.Int()}, b'{"n": 3.7}') is None


def test_the_authors_own_fields_stay_as_they_were() -> None:
    inner = Inner()
    field = fields.Nested(inner)
    renderer = Renderer({"x": field})
    assert renderer.schema is not None
    assert sent({"x": field}, {"x": {"k": K.DOG}}) == {"x": {"k": "DOG"}}
    assert inner.load({"k": "DOG"}) == {"k": K.DOG}


def test_a_number_keeps_its_digits() -> None:
    body = Renderer({"x": fields.Decimal()}).render(1, {"x": decimal.Decimal("0.12345678901234567890")}, JSON).body
    assert body == b'{"x":0.12345678901234567890}'


FIELDS = st.sampled_from([*TABLE]).map(lambda name: TABLE[name][0])
VALUES = st.one_of(
    st.sampled_from([value for _, values in TABLE.values() for value, _ in values]),
    st.sampled_from([*ALL]).map(lambda name: ALL[name][0]),
    st.datetimes() | st.datetimes(timezones=st.timezones()) | st.dates() | st.times() | st.timedeltas(),
    st.integers() | st.floats() | st.decimals() | st.fractions() | st.text() | st.uuids() | st.ip_addresses(),
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(FIELDS, VALUES, st.sampled_from([*PLACES]), st.sampled_from(["error", "null"]))
def test_whatever_is_sent_fits_the_document(field: Any, value: Any, place: str, nan: str) -> None:
    within, around = PLACES[place]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        document = sent(within(field), around(value), nan=nan)
        if document is not None:
            assert sent(within(field), document, nan=nan) == document or "None" in str(document)
