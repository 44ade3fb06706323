"""What arrives is what was sent, or the send is refused."""

from __future__ import annotations

import os
import sys
import typing
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, EnumMeta, IntEnum, StrEnum
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, TypedDict, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import annotated_types
import attrs
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasGenerator,
    AliasPath,
    BaseModel,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    PositiveFloat,
    PositiveInt,
    PrivateAttr,
    StringConstraints,
    field_serializer,
    field_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import core_schema
from sqlmodel import Field as Column
from sqlmodel import SQLModel

from cloudq import App, PayloadError, TaskDefinitionError
from cloudq.tasks.arrival import difference
from cloudq.tasks.binding import Parameters

EXAMPLES = int(os.environ.get("PAYLOAD_EXAMPLES", "500"))
BERLIN = ZoneInfo("Europe/Berlin")


class ReadAs(BaseModel):
    x: int = Field(0, validation_alias="X")


class Choices(BaseModel):
    x: int = Field(0, validation_alias=AliasChoices("X", "ex"))


class FromPath(BaseModel):
    x: int = Field(0, validation_alias=AliasPath("a", "b"))


class WrittenAs(BaseModel):
    x: int = Field(0, serialization_alias="out")


class Generated(BaseModel):
    model_config = {"alias_generator": AliasGenerator(validation_alias=to_camel)}
    user_id: int = 0


class Outer(BaseModel):
    inner: Generated


@dataclass
class InDataclass:
    inner: Generated


class Required(BaseModel):
    x: int = Field(validation_alias="X")


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    name: str = ""


class Excluded(BaseModel):
    x: int = Field(0, exclude=True)


class Rounds(BaseModel):
    x: float

    @field_serializer("x")
    def rounded(self, value: float) -> int:
        return round(value)


class Doubles(BaseModel):
    x: int

    @field_validator("x")
    @classmethod
    def doubled(cls, value: int) -> int:
        return value * 2


class Private(BaseModel):
    _secret: int = PrivateAttr(0)

    @classmethod
    def of(cls, secret: int) -> Private:
        made = cls()
        made._secret = secret
        return made


class OneSidedBytes(BaseModel):
    model_config = {"ser_json_bytes": "base64"}
    data: bytes


class Open(BaseModel):
    model_config = {"extra": "allow"}


@attrs.define
class WithUnderscore:
    user: int
    _retries: int = 0


@attrs.define
class Converts:
    n: int = attrs.field(converter=lambda n: n + 1)


@dataclass
class Base:
    a: int = 0


@dataclass
class Derived(Base):
    b: int = 0


class Holder(BaseModel):
    held: Base


@dataclass(eq=False)
class Incomparable:
    n: int


@dataclass
class Normalizes:
    n: int

    def __post_init__(self) -> None:
        self.n += 1


class Parent(msgspec.Struct):
    a: int = 0


class Child(Parent):
    b: int = 0


class Loose(TypedDict, total=False):
    k: int


class Text(str):
    __slots__ = ()


class Stamp(datetime):
    pass


class Money(Decimal):
    pass


class OwnMeta(EnumMeta):
    pass


class Level(Enum, metaclass=OwnMeta):
    LOW = "low"


class Rank(IntEnum, metaclass=OwnMeta):
    FIRST = 1


class Color(StrEnum):
    RED = "red"


class Hero(SQLModel, table=True):
    id: int | None = Column(default=None, primary_key=True)
    name: str


T = TypeVar("T")


@dataclass
class Box(Generic[T]):
    value: T


UserId = NewType("UserId", int)


class Renamed(msgspec.Struct, rename="camel"):
    user_id: int = 0


class Tagged(msgspec.Struct, tag=True):
    a: int = 0


@attrs.define
class Place:
    x: int = 0
    y: float = 0.0


@dataclass
class Measured:
    at: Place
    size: float = 0.0


class Pair(NamedTuple):
    n: int
    size: float = 0.0


class Price(NamedTuple):
    amount: PositiveInt
    seal: bytes = b""


class Odd:
    """A rule of one's own, in pydantic's way."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        def check(value: int) -> int:
            if value % 2 == 0:
                raise ValueError("even")
            return value

        return core_schema.no_info_after_validator_function(check, handler(source))


class Small(annotated_types.GroupedMetadata):
    """Rules of one's own, in annotated_types' way."""

    def __iter__(self) -> Iterator[annotated_types.BaseMetadata]:
        yield annotated_types.Lt(10)


class Even(annotated_types.GroupedMetadata):
    """Another one, which says what it means by a predicate."""

    def __iter__(self) -> Iterator[annotated_types.BaseMetadata]:
        yield annotated_types.Predicate(lambda value: value % 2 == 0)


class OddInRow(NamedTuple):
    n: Annotated[int, Odd()]


class HoldsWritten(BaseModel):
    held: list[WrittenAs]


class GeneratedWritten(BaseModel):
    model_config = {"alias_generator": AliasGenerator(serialization_alias=to_camel)}
    user_id: int = 0


@attrs.frozen(kw_only=True)
class Mangled:
    user: int
    __secret: str = attrs.field(default="", alias="key")


@dataclass
class HoldsAttrs:
    held: WithUnderscore


@dataclass
class Trims:
    text: str

    def __post_init__(self) -> None:
        self.text = self.text.strip()


@attrs.define
class Checked:
    size: float

    def __attrs_post_init__(self) -> None:
        self.size = round(self.size)


Low = TypeVar("Low", PositiveInt, PositiveFloat)
Bounded = TypeVar("Bounded", bound=PositiveInt)


@dataclass
class Sealed:
    count: PositiveInt
    seal: bytes


@dataclass
class Mixed:
    note: Any = None
    size: float = 0.0


def bound(kind: Any) -> Parameters:
    def function(value: object) -> None: ...

    function.__annotations__ = {"value": kind}
    return Parameters(function, "task")


def arrived(kind: Any, value: object, *, convert_untyped: bool = False) -> Any:
    parameters = bound(kind)
    return parameters.arguments(parameters.payload({"value": value}, convert_untyped=convert_untyped))["value"]


def refusal(kind: Any, value: object) -> str:
    """Why it is refused; nothing if it isn't."""
    try:
        arrived(kind, value)
    except (PayloadError, TaskDefinitionError) as error:
        return str(error)
    return ""


def named(case: object) -> str:
    # No set's text, whose order differs from process to process.
    return getattr(case, "__name__", None) or (type(case).__name__ if isinstance(case, set) else repr(case)[:40])


CHANGED: list[tuple[Any, object, str]] = [
    (Excluded, Excluded(x=5), "value.x"),
    (list[Excluded], [Excluded(x=5)], "value[0].x"),
    (Rounds, Rounds(x=1.5), "value.x"),
    (Doubles, Doubles(x=3), "value.x"),
    (Private, Private.of(7), "value._secret"),
    (dict[str, Private], {"k": Private.of(7)}, "value.k._secret"),
    (OneSidedBytes, OneSidedBytes(data=b"\xff\xfe"), "value.data"),
    (WithUnderscore, WithUnderscore(1, retries=5), "value._retries"),
    (Normalizes, Normalizes(1), "value.n"),
    (Base, Derived(1, 2), "value"),
    (list[Base], [Base(1), Derived(1, 2)], "value[1]"),
    (Holder, Holder(held=Derived(1, 2)), "value.held"),
    (Parent, Child(a=1, b=2), "value"),
    (float, 2**53 + 1, "value"),
    (dict[str, float], {"k": -(2**53) - 1}, "value.k"),
    (datetime, datetime(1960, 5, 1, 12, tzinfo=ZoneInfo("Africa/Monrovia")), "value"),
    (datetime, datetime(2026, 10, 25, 2, 30, fold=1), "value"),  # noqa: DTZ001 - a naive one is what this is about
    (Annotated[str, StringConstraints(strip_whitespace=True)], " a ", "value"),
    (Annotated[int, BeforeValidator(lambda n: n + 1)], 1, "value"),
    (dict[str, WithUnderscore], {"k": WithUnderscore(1, retries=5)}, "value.k._retries"),
    (HoldsAttrs, HoldsAttrs(WithUnderscore(1, retries=5)), "value.held._retries"),
    (WithUnderscore | None, WithUnderscore(1, retries=5), "value._retries"),
    (Mangled, Mangled(user=1, key="s"), "value._Mangled__secret"),
    # JSON's form of a value that the second trip changes once more.
    (Normalizes, {"n": 1}, "value.n"),
    (Doubles, {"x": 1}, "value.x"),
    (list[Normalizes], [{"n": 1}], "value[0].n"),
    # JSON's form of a structure: what no field takes, and what a field can't hold.
    (Base, {"a": 1, "typo": 2}, "value.typo"),
    (list[Base], [{"a": 1, "typo": None}], "value[0].typo"),
    (Renamed, {"user_id": 1}, "value.user_id"),
    (Place, {"x": 1, "z": 2}, "value.z"),
    (Place, {"y": 2**53 + 1}, "value.y"),
    (Measured, {"at": {"x": 1, "y": 2**53 + 1}}, "value.at.y"),
    (Measured, {"at": {"z": 1}}, "value.at.z"),
    (Pair, [1, 2**53 + 1], "value[1]"),
    (dict[str, Tagged], {"k": {"type": "Tagged", "a": 1, "b": 2}}, "value.k.b"),
]


@pytest.mark.parametrize(("kind", "value", "field_named"), CHANGED, ids=named)
def test_what_would_arrive_as_something_else_is_refused(kind: Any, value: object, field_named: str) -> None:
    """The field is named, and its value isn't shown."""
    with pytest.raises(PayloadError, match="would not arrive as it was given") as caught:
        arrived(kind, value)
    assert field_named == caught.value.field


UNTYPED: list[tuple[Any, object, object, str]] = [
    (Any, date(2026, 1, 2), "2026-01-02", "value"),
    (Any, Decimal("1.50"), "1.50", "value"),
    (Any, b"hi", "aGk=", "value"),
    (Any, (1, 2), [1, 2], "value"),
    (Any, {1: 2}, {"1": 2}, "value"),
    (object, UUID(int=1), str(UUID(int=1)), "value"),
    (dict, {"a": {"b": (1,)}}, {"a": {"b": [1]}}, "value.a.b"),
    (list, [time(1)], ["01:00:00"], "value[0]"),
    (dict[str, Any], {"a": Color.RED}, {"a": "red"}, "value.a"),
]


@pytest.mark.parametrize(("kind", "value", "_json", "field_named"), UNTYPED, ids=named)
def test_what_nothing_declares_is_not_changed_silently(
    kind: Any, value: object, _json: object, field_named: str
) -> None:
    """It is refused, with the hint to annotate it."""
    with pytest.raises(PayloadError, match="nothing says what it is") as caught:
        arrived(kind, value)
    assert field_named == caught.value.field
    assert "annotate" in str(caught.value.hint)


@pytest.mark.parametrize(("kind", "value", "json", "_field"), UNTYPED, ids=named)
def test_an_app_may_take_what_nothing_declares_as_json(kind: Any, value: object, json: object, _field: str) -> None:
    """`convert_untyped` sends JSON's form."""
    assert json == arrived(kind, value, convert_untyped=True)


@pytest.mark.parametrize(
    ("kind", "value", "field_named"),
    [
        (Mixed, Mixed(date(2026, 1, 2), 2**53 + 1), "value.size"),
        (list[Mixed], [Mixed((1,)), Mixed(None, 2**53 + 1)], "value[1].size"),
        (dict[str, Mixed | None], {"a": Mixed({1: 2}), "b": Mixed(b"", -(2**53) - 1)}, "value.b.size"),
    ],
    ids=named,
)
def test_converting_what_nothing_declares_hides_nothing_else(kind: Any, value: object, field_named: str) -> None:
    """What is declared has to arrive all the same, also behind an untyped value that doesn't."""
    with pytest.raises(PayloadError) as caught:
        arrived(kind, value, convert_untyped=True)
    assert field_named == caught.value.field


def test_an_app_says_whether_untyped_values_are_converted() -> None:
    """By default they are refused."""
    for app, fits in ((App(), False), (App(convert_untyped=True), True)):

        @app.task("task")
        def task(value) -> None: ...  # type: ignore[no-untyped-def]  # that is the point

        if fits:
            assert {"value": "2026-01-02"} == task.call(value=date(2026, 1, 2)).payload
        else:
            with pytest.raises(PayloadError, match="nothing says what it is"):
                task.call(value=date(2026, 1, 2))


SAME: list[tuple[Any, object]] = [
    (ReadAs, ReadAs(X=5)),
    (Choices, Choices(X=5)),
    (WrittenAs, WrittenAs(x=5)),
    (dict[str, WrittenAs], {"a": WrittenAs(x=5)}),
    (HoldsWritten, HoldsWritten(held=[WrittenAs(x=5)])),
    (GeneratedWritten, GeneratedWritten(user_id=5)),
    (GeneratedWritten | Cat, GeneratedWritten(user_id=5)),
    (FromPath, FromPath.model_validate({"a": {"b": 5}})),
    (Required, Required(X=5)),
    (Generated, Generated(userId=5)),
    (Outer, Outer(inner=Generated(userId=5))),
    (InDataclass, InDataclass(Generated(userId=5))),
    (Open, Open(anything=[1, {"a": None}])),
    (Cat | Dog, Dog(name="Rex")),
    (list[Cat | Dog], [Dog(name="Rex"), Cat()]),
    (dict[str, Cat | int], {"a": Cat(), "b": 1}),
    (Annotated[Cat | Dog, Field(discriminator="kind")], Cat(lives=1)),
    (Incomparable, Incomparable(1)),
    (Converts, Converts(1)),
    (Level, Level.LOW),
    (Rank, Rank.FIRST),
    (list[Level], [Level.LOW]),
    (Color, Color.RED),
    (Box[Base], Box(Base(1))),
    (UserId, 5),
    (Loose, {"k": 1}),
    (Annotated[int, Field(gt=0)], 5),
    (PositiveInt | None, None),
    (tuple[int, str], (1, "a")),
    (tuple[int, ...], (1, 2)),
    (set[str] | None, {"a", "b"}),
    (dict[date, Decimal], {date(2026, 1, 2): Decimal("1.50")}),
    (datetime, datetime(2026, 10, 25, 2, 30, tzinfo=UTC)),
    (float, -0.0),
    (Annotated[bytes, Field(min_length=1)], b"\xff\xfe\xfb"),
    (list[Annotated[bytes, annotated_types.MinLen(1)]], [b"\xff", b"hi"]),
    (Sealed, Sealed(1, b"\xff\xfe")),
    (Price, Price(1, b"\xff")),
    (Pair, Pair(1, 1.5)),
    (Any, [1, {"a": [None, "x", True, 1.5]}]),
]


@pytest.mark.parametrize(("kind", "value"), SAME, ids=named)
def test_what_can_travel_arrives(kind: Any, value: object) -> None:
    """Equal, of the same type."""
    assert "" == refusal(kind, value)
    back = arrived(kind, value)
    assert type(value) is type(back)
    assert difference(value, back, kind) is None


DECLARED_FORM: list[tuple[Any, object, object]] = [
    (Sequence[int], (1, 2), [1, 2]),
    (Iterable[int], range(3), [0, 1, 2]),
    (Sequence[str], {"a"}, ["a"]),
    (float, 3, 3.0),
    (date, "2026-01-02", date(2026, 1, 2)),
    (UUID, str(UUID(int=1)), UUID(int=1)),
    (Decimal, "1.5", Decimal("1.5")),
    (bytes, "aGk=", b"hi"),
    (Level, "low", Level.LOW),
    (dict[int, str], {"1": "a"}, {1: "a"}),
    (Base, {"a": 1}, Base(1)),
    (Renamed, {"userId": 1}, Renamed(1)),
    (Tagged, {"type": "Tagged", "a": 1}, Tagged(1)),
    (Measured, {"at": {"x": 1}, "size": 2}, Measured(Place(1), 2.0)),
    (Pair, [1, 2], Pair(1, 2.0)),
    (Annotated[bytes, annotated_types.MinLen(1)], "aGk=", b"hi"),
    (str, Color.RED, "red"),
    (dict[str, int], {Color.RED: 1}, {"red": 1}),
    (list[str] | None, [Color.RED], ["red"]),
    (int, Rank.FIRST, 1),
    (bytes, bytearray(b"a"), b"a"),
    (Trims, {"text": " a "}, Trims("a")),
    (list[Trims], [{"text": "a "}], [Trims("a")]),
    (Checked, {"size": 1.4}, Checked(1)),
    (str, Text("a"), "a"),
    (datetime, Stamp(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)),
    (Decimal, Money("1.5"), Decimal("1.5")),
]


@pytest.mark.parametrize(("kind", "value", "back"), DECLARED_FORM, ids=named)
def test_what_comes_back_in_the_declared_form(kind: Any, value: object, back: object) -> None:
    """As documented: containers under an abstract one, an int under float, JSON's form of a declared type."""
    assert "" == refusal(kind, value)
    got = arrived(kind, value)
    assert back == got
    assert type(back) is type(got)


def test_a_repeated_hour_arrives_as_the_moment_that_it_was() -> None:
    """`==` says no to it, since two zones are compared; the moment and its offset are the same."""
    for fold in (0, 1):
        given_moment = datetime(2026, 10, 25, 2, 30, fold=fold, tzinfo=BERLIN)
        back = arrived(datetime, given_moment)
        assert given_moment.timestamp() == back.timestamp()
        assert given_moment.utcoffset() == back.utcoffset()


RULES: list[tuple[Any, object]] = [
    (Annotated[int, Field(gt=0)], -5),
    (PositiveInt, -5),
    (Annotated[int, annotated_types.Gt(0)], 0),
    (Annotated[str, StringConstraints(max_length=2)], "too long"),
    (list[PositiveInt], [1, -1]),
    (dict[str, Annotated[float, annotated_types.Le(1)]], {"k": 1.5}),
    (Annotated[int, AfterValidator(lambda n: (_ for _ in ()).throw(ValueError("never")))] | None, 3),
    (Price, [-1]),
    (list[Price], [[1], [0]]),
    (Annotated[int, Odd()], 2),
    (Annotated[int, Small()] | None, 10),
    (Annotated[int, Even()], 3),
    (dict[str, Annotated[int, Even()]], {"k": 1}),
    (OddInRow, [2]),
    (list[Annotated[int, Odd()]], [1, 2]),
    (Bounded, -1),
    (list[Bounded], [-1]),  # type: ignore[valid-type]  # as in `def f[T: PositiveInt](x: list[T])`
    (Low, -1),
    (Bounded | None, 0),  # type: ignore[valid-type]
    (Annotated[list[int], annotated_types.Len(1)], []),
    (NewType("Count", PositiveInt), 0),
]


@pytest.mark.parametrize(("kind", "value"), RULES, ids=named)
def test_rules_in_an_annotation_are_enforced(kind: Any, value: object) -> None:
    """Those of pydantic and of annotated_types, at the send and by the worker."""
    with pytest.raises(PayloadError):
        arrived(kind, value)
    with pytest.raises(PayloadError):
        bound(kind).arguments({"value": value})


def test_rules_within_a_dataclass_are_enforced() -> None:
    """The field is named."""

    @dataclass
    class Order:
        amount: Annotated[int, Field(gt=0)]
        tags: list[str] = field(default_factory=list)

    assert Order(1, ["a"]) == arrived(Order, Order(1, ["a"]))
    with pytest.raises(PayloadError) as caught:
        arrived(Order, Order(-5))
    assert "value.amount" == caught.value.field


def test_keyword_arguments_may_be_a_typed_dict() -> None:
    """`**rest: Unpack[...]`: its keys are parameters like the others."""

    def function(a: int, **rest: typing.Unpack[Loose]) -> None: ...

    parameters = Parameters(function, "task")
    assert {"a": 1, "k": 2} == parameters.arguments(parameters.payload({"a": 1, "k": 2}))
    with pytest.raises(PayloadError, match="k: Expected `int`"):
        parameters.payload({"a": 1, "k": "x"})
    with pytest.raises(PayloadError, match="no parameter 'z'"):
        parameters.payload({"a": 1, "z": 1})


class Needed(TypedDict):
    name: str
    born: typing.NotRequired[date]


class Ruled(TypedDict, total=False):
    count: PositiveInt


class WithModels(TypedDict, total=False):
    pet: Cat | Dog
    held: list[Base]


@pytest.mark.parametrize(
    ("rest", "given", "wrong"),
    [
        (Needed, {"name": "a", "born": date(2026, 1, 2)}, {"born": date(2026, 1, 2)}),
        (Needed, {"name": "a"}, {"name": "a", "born": "yesterday"}),
        (Ruled, {"count": 1}, {"count": 0}),
        (WithModels, {"pet": Dog(name="Rex"), "held": [Base(1)]}, {"held": [Derived(1, 2)]}),
    ],
    ids=["required", "not required", "with rules", "with structures"],
)
def test_the_keys_of_such_a_typed_dict_are_typed(rest: Any, given: dict[str, Any], wrong: dict[str, Any]) -> None:
    """Each arrives as its type, and what doesn't fit or lacks is refused."""

    def function(a: int, **rest: Any) -> None: ...

    function.__annotations__["rest"] = typing.Unpack[rest]

    def outcome(values: dict[str, Any]) -> object:
        try:
            parameters = Parameters(function, "task")
            return parameters.arguments(parameters.payload({"a": 1, **values}))
        except (PayloadError, TaskDefinitionError) as error:
            return type(error)

    assert {"a": 1, **given} == outcome(given)
    assert PayloadError is outcome(wrong)


NEW_SYNTAX = """
from __future__ import annotations
from datetime import date
from pydantic import BaseModel
type Json = dict[str, Json] | list[Json] | str | int | float | bool | None
type Tree = list[Tree] | int
type Pair[T] = tuple[T, T]
class Fish(BaseModel): fins: int = 0
class Bird(BaseModel): wings: int = 0
type Animal = Fish | Bird
def anything[T](value: T) -> None: ...
def bounded[T: int](value: list[T]) -> None: ...
def json(value: Json) -> None: ...
def tree(value: Tree) -> None: ...
def pair(value: Pair[date]) -> None: ...
def animal(value: list[Animal]) -> None: ...
"""


@pytest.mark.skipif(sys.version_info < (3, 12), reason="it is the syntax of Python 3.12")
@pytest.mark.parametrize(
    ("name", "value", "wrong"),
    [
        ("anything", {"a": [1]}, (1,)),
        ("bounded", [1, 2], ["x"]),
        ("json", {"a": [1, None, {"b": 1.5}]}, {"a": date(2026, 1, 2)}),
        ("tree", [1, [2, [3]]], [1, ["x"]]),
        ("pair", (date(2026, 1, 2), date(2026, 1, 3)), (1, 2)),
        ("animal", "a Bird", "no list"),
    ],
)
def test_type_parameters_and_aliases_that_name_themselves_are_taken(name: str, value: object, wrong: object) -> None:
    """With annotations that are texts, too."""
    module: dict[str, Any] = {"__name__": "new_syntax"}
    exec(compile(NEW_SYNTAX, "new_syntax.py", "exec"), module)  # noqa: S102 - Python 3.11 can't read it
    if name == "animal":
        value = [module["Bird"](wings=2), module["Fish"](fins=5)]

    def outcome(value: object) -> object:
        try:
            parameters = Parameters(module[name], "task")
            return parameters.arguments(parameters.payload({"value": value}))["value"]
        except (PayloadError, TaskDefinitionError) as error:
            return type(error)

    assert value == outcome(value)
    assert PayloadError is outcome(wrong)


def test_a_type_variable_without_a_bound_declares_nothing() -> None:
    """It takes any JSON value, and the hint is to annotate."""
    assert [1] == arrived(T, [1])
    with pytest.raises(PayloadError, match="nothing says what it is"):
        arrived(T, date(2026, 1, 2))
    assert "2026-01-02" == arrived(T, date(2026, 1, 2), convert_untyped=True)


# ── any value of any supported type ──────────────────────────────────────────────────────────────────────


class Pet(BaseModel):
    name: str
    born: date | None = None


@attrs.define
class Point:
    x: int
    y: float = 0.0


class Item(msgspec.Struct):
    id: UUID
    price: Decimal


@dataclass
class Line:
    item: Item
    count: int = 1


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
finite = st.floats(allow_nan=False, allow_infinity=False)
offsets = st.builds(timezone, st.integers(-1439, 1439).map(lambda minutes: timedelta(minutes=minutes)))
LEAVES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (int, st.integers() | st.booleans().map(int)),
    (float, finite | st.integers()),
    (str, texts | texts.map(Text)),
    (bool, st.booleans()),
    (bytes, st.binary(max_size=6)),
    (date, st.dates()),
    (datetime, st.datetimes(timezones=st.none() | offsets | st.just(BERLIN))),
    (time, st.times()),
    (timedelta, st.timedeltas()),
    (Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    (UUID, st.uuids()),
    (Color, st.sampled_from(Color)),
    (Level, st.sampled_from(Level)),
    (Pet, st.builds(Pet, name=texts, born=st.none() | st.dates())),
    (ReadAs, st.builds(ReadAs, X=st.integers())),
    (Doubles, st.builds(Doubles, x=st.integers(-5, 5))),
    (Point, st.builds(Point, st.integers(), finite)),
    (WithUnderscore, st.builds(WithUnderscore, st.integers(), st.integers(0, 1))),
    (Item, st.builds(Item, id=st.uuids(), price=st.decimals(allow_nan=False, allow_infinity=False))),
    (Line, st.builds(Line, st.builds(Item, id=st.uuids(), price=st.just(Decimal(1))), st.integers())),
    (Cat | Dog, st.builds(Cat) | st.builds(Dog, name=texts)),
    (Sealed, st.builds(Sealed, st.integers(0), st.binary(max_size=6))),
    (Price, st.builds(Price, st.integers(0), st.binary(max_size=6))),
    (Place, st.builds(Place, st.integers(), finite) | st.dictionaries(st.sampled_from("xyz"), st.integers())),
    (Any, st.none() | texts | st.integers() | st.dates()),
]


def nested(kind: Any, values: st.SearchStrategy[Any]) -> list[tuple[Any, st.SearchStrategy[Any]]]:
    hashable = kind in {int, str, date, UUID, Color}
    forms: list[tuple[Any, st.SearchStrategy[Any]]] = [
        (list[kind], st.lists(values, max_size=3)),
        (dict[str, kind], st.dictionaries(texts, values, max_size=2)),
        (kind | None, st.none() | values),
        (tuple[kind, ...], st.lists(values, max_size=2).map(tuple)),
        (Sequence[kind], st.lists(values, max_size=2).map(tuple)),
    ]
    return [*forms, *([(set[kind], st.sets(values, max_size=3))] if hashable else [])]


@st.composite
def typed_values(draw: st.DrawFn) -> tuple[Any, Any]:
    kind, values = draw(st.sampled_from(LEAVES))
    for _ in range(draw(st.integers(0, 3))):
        kind, values = draw(st.sampled_from(nested(kind, values)))
    return kind, draw(values)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(typed_values())
def test_any_value_arrives_or_is_refused(case: tuple[Any, Any]) -> None:
    """Up to three levels of containers around values of every kind; `make payloads` tries many more."""
    kind, value = case
    try:
        back = arrived(kind, value)
    except PayloadError:
        return
    assert difference(value, back, kind) is None
    again = arrived(kind, back)
    assert difference(back, again, kind) is None


@pytest.mark.parametrize(
    ("given", "arrived"),
    [
        ([1, 2], [True, 2]),
        ([1, 0], [1, False]),
        ({"a": 1}, {"a": True}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ([0.0], [-0.0]),
        ([1], [1.0]),
    ],
    ids=repr,
)
def test_lists_and_dicts_that_are_equal_to_python_are_looked_at_part_by_part(given, arrived):
    """What a glance can tell is only that the types are the same, too, and the order."""
    hint = list[int] if isinstance(given, list) else dict[str, int]
    assert (difference(given, arrived, hint) is None) == (given == [1])
