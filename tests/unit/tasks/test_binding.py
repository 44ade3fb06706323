"""From a call's arguments to a JSON payload and back: what fits, what is refused and how the field is named."""

import dataclasses
import enum
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, Optional, TypedDict, Unpack
from uuid import UUID

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudq import App, Context
from cloudq.core import wire
from cloudq.core.message import Message
from cloudq.errors import PayloadError, TaskDefinitionError
from cloudq.tasks.binding import Parameters
from cloudq.testing import in_memory, run_all, sent
from tests.ids import shown


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


@dataclasses.dataclass
class Tree:
    name: str
    children: list["Tree"] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Even:
    n: int

    def __post_init__(self) -> None:
        if self.n % 2:
            raise ValueError("it is odd")


class Item(msgspec.Struct):
    price: Decimal
    tags: set[str] = set()


class Order(TypedDict):
    items: list[Item]
    note: NotRequired[str]


@attrs.define
class Parcel:
    weight: float
    label: bytes = b""


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Size(enum.IntEnum):
    S = 1
    L = 3


class Pair(NamedTuple):
    left: int
    right: str


class Cat(msgspec.Struct, tag=True):
    lives: int


class Dog(msgspec.Struct, tag=True):
    tricks: int


class Loose(pydantic.BaseModel):
    id: int = pydantic.Field(alias="theId", gt=0)


class Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True, extra="forbid")

    day: date
    numbers: set[int] = set()

    @pydantic.computed_field
    @property
    def twice(self) -> int:
        return 2 * len(self.numbers)


class Nested(pydantic.BaseModel):
    parts: list[Strict]
    ratio: float = 0


class Badge(pydantic.BaseModel):
    pin: pydantic.SecretStr


class Constants(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(ser_json_inf_nan="constants")

    ratio: float


@pydantic.dataclasses.dataclass
class Checked:
    n: Annotated[int, pydantic.Field(gt=3)]


BERLIN = timezone(timedelta(hours=2))

ROUND_TRIPS: list[tuple[Any, Any]] = [
    (int, 1),
    (int, -(2**63)),
    (int, 2**64),
    (int, 10**100),
    (float, 1.5),
    (float, -0.0),
    (bool, True),
    (str, "ü \N{PILE OF POO} \0"),
    (bytes, b"\xff\x00"),
    (datetime, datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)),
    (datetime, datetime(2026, 1, 2, tzinfo=BERLIN)),
    (datetime, datetime(2026, 1, 2)),  # noqa: DTZ001 - a naive one stays naive
    (date, date(2026, 1, 2)),
    (time, time(1, 2, 3)),
    (timedelta, timedelta(days=-3, microseconds=1)),
    (UUID, UUID(int=5)),
    (Decimal, Decimal("1.10")),
    (set[int], {1, 2}),
    (frozenset[str], frozenset({"a"})),
    (tuple[int, str], (1, "a")),
    (tuple[int, ...], (1, 2, 3)),
    (list[bytes], [b"a"]),
    (dict[int, str], {1: "a", -2: "b"}),
    (dict[date, int], {date(2026, 1, 2): 1}),
    (dict[UUID, Decimal], {UUID(int=1): Decimal(2)}),
    (Literal["a", 1], "a"),
    (Optional[int], None),  # noqa: UP045 - the old spelling is still written
    (int | None, 3),
    (int | str, "3"),
    (int | list[int] | None, [1]),
    (Sequence[int], [1]),
    (Mapping[str, int], {"a": 1}),
    (Point, Point(1, 2)),
    (Tree, Tree("a", [Tree("b", [Tree("c")])])),
    (Item, Item(Decimal("9.99"), {"x"})),
    (Order, {"items": [Item(Decimal(1))], "note": "n"}),
    (Parcel, Parcel(1.5, b"\xff")),
    (Color, Color.BLUE),
    (dict[Color, Size], {Color.RED: Size.L}),
    (Pair, Pair(1, "a")),
    (Cat | Dog, Dog(tricks=2)),
    (Annotated[int, msgspec.Meta(gt=3)], 4),
    (Loose, Loose(theId=3)),
    (Strict, Strict(day=date(2026, 1, 2), numbers={1})),
    (list[Nested], [Nested(parts=[Strict(day=date(2026, 1, 2))])]),
    (Nested | None, None),
    (Any, {"a": [1, None, 2.5, "x"]}),
    (object, [1]),
    (None, None),
]


def parameters(annotation: Any) -> Parameters:
    def function(value): ...

    function.__annotations__["value"] = annotation
    return Parameters(function, "shop.task")


@pytest.mark.parametrize(("kind", "value"), ROUND_TRIPS, ids=shown)
def test_a_value_arrives_as_it_was_sent(kind, value):
    """Through the payload and the wire format, in value and in type."""
    bound = parameters(kind)
    message = Message(id="1", task="shop.task", queue="q", payload=bound.payload({"value": value}))
    arrived = bound.arguments(wire.decode(wire.encode(message), "q").payload)["value"]
    assert value == arrived
    assert type(value) is type(arrived)


MISFITS: list[tuple[Any, Any, str]] = [
    (int, "1", "value"),
    (int, True, "value"),
    (int, 1.5, "value"),
    (str, 1, "value"),
    (bytes, "not base64!", "value"),
    (datetime, "yesterday", "value"),
    (UUID, "x", "value"),
    (Decimal, "x", "value"),
    (Color, "green", "value"),
    (Literal["a"], "b", "value"),
    (tuple[int, str], (1,), "value"),
    (list[int], [1, "2"], "value[1]"),
    (dict[str, int], {"a": "b"}, "value[...]"),
    (dict[int, str], {"a": "b"}, "value"),
    (int | None, "x", "value"),
    (Point, {"y": 1}, "value.x"),
    (Point, Point("a"), "value.x"),
    (Tree, Tree("a", [Tree("b"), Tree(3)]), "value.children[1].name"),
    (Even, {"n": 3}, "value"),
    (list[Even], [{"n": 2}, {"n": 3}], "value[1]"),
    (Order, {"items": [{"price": "x"}]}, "value.items[0].price"),
    (Parcel, {"weight": None}, "value.weight"),
    (Annotated[int, msgspec.Meta(gt=3)], 3, "value"),
    (Annotated[str, msgspec.Meta(max_length=2)], "abc", "value"),
    (Loose, {"theId": 0}, "value.theId"),
    (Strict, {"day": 5}, "value.day"),
    (Strict, {"day": "2026-01-02", "more": 1}, "value.more"),
    (list[Nested], [{"parts": [{"day": "2026-01-02"}, {"day": "x"}]}], "value[0].parts[1].day"),
    # What JSON doesn't have, or what has no form in it:
    (float, math.nan, "value"),
    (float, -math.inf, "value"),
    (list[float], [1.0, math.inf], "value"),
    (Any, {"a": (math.nan,)}, "value"),
    (Point, Point(math.nan), "value"),
    (Nested, Nested(parts=[], ratio=math.nan), "value"),
    (Constants, Constants(ratio=math.nan), "value"),
    (str, "\ud800", "value"),
    (Any, {"\udfff": 1}, "value"),
    (Any, object(), "value"),
    (Any, 1j, "value"),
    (Any, print, "value"),
    (Any, {(1, 2): 3}, "value"),
    (Badge, Badge(pin="hunter2"), "value"),
    (list[Any], [Badge(pin="hunter2")], "value"),
]


@pytest.mark.parametrize(("kind", "value", "field"), MISFITS, ids=shown)
def test_a_value_that_does_not_fit_is_refused_by_the_name_of_its_field(kind, value, field):
    """`PayloadError.field` is the path, and the text says task and path."""
    with pytest.raises(PayloadError) as caught:
        parameters(kind).payload({"value": value})
    assert field == caught.value.field
    assert str(caught.value).startswith(f"shop.task: {field}")


def test_an_error_does_not_show_what_the_field_held():
    """A payload may hold what no log should: neither msgspec's nor pydantic's text quotes it, nor that of an enum."""
    colour, word = enum.Enum("Colour", {"RED": "red"}), Literal["a", "b"]
    pairs = [(Point, {"x": "hunter2"}), (Loose, {"theId": "hunter2"}), (Badge, Badge(pin="hunter2"))]
    for kind, value in [*pairs, (colour, "hunter2"), (list[colour], ["hunter2"]), (word, "hunter2")]:
        with pytest.raises(PayloadError) as caught:
            parameters(kind).payload({"value": value})
        assert "hunter2" not in str(caught.value)


FOREIGN: list[tuple[Any, str]] = [
    (complex, "complex"),
    (range, "range"),
    (type, "type"),
    (type[int], "type"),
    (Callable[[], int], "Callable"),
    (Iterator[int], "Iterator"),
    (list[complex], "complex"),
    (dict[str, list[complex]], "complex"),
    (App, "App"),
    (msgspec.Raw, "msgspec.Raw"),
    (Checked, "pydantic dataclass Checked"),
    (list[Checked], "pydantic dataclass Checked"),
    (Point | Parcel, "Type unions may not contain more than one"),
    ("Nowhere", "'Nowhere' is not defined"),
    ("1 +", "can't be resolved"),
]


@pytest.mark.parametrize(("kind", "named"), FOREIGN, ids=shown)
def test_a_type_that_cannot_travel_is_refused_at_load_and_at_the_first_send(kind, named):
    """Not when it is declared: its module may still be half imported. Each time it is asked, not only once."""

    def function(value): ...

    function.__annotations__["value"] = kind
    app = App("memory://")
    task = app.task("shop.task")(function)
    for asked in (app.load, app.load, lambda: task.send(1), lambda: app.send("shop.task", {"value": 1})):
        with pytest.raises(TaskDefinitionError, match=r"'shop\.task'") as caught:
            asked()
        assert named in str(caught.value)
    assert not app.is_open, "nothing was stored, nor opened"


def test_a_dataclass_whose_own_annotations_cannot_be_resolved_is_refused():
    """The error is cloudq's and names the parameter, wherever the missing name is."""
    broken = dataclasses.make_dataclass("Broken", [("x", "Nowhere")])
    with pytest.raises(TaskDefinitionError, match="parameter 'value'"):
        parameters(broken).check_types()


# ── binding by name and by place ─────────────────────────────────────────────────────────────────────────


def some(a: int, b: str = "b", *, c: float = 1.5) -> None: ...
def positional(a: int, b: int = 2, /, c: int = 3) -> tuple[int, int, int]:
    return a, b, c


def open_ended(a: int, /, **rest: int) -> tuple[int, dict[str, int]]:
    return a, rest


def unannotated(a, b=None): ...


def payload_of(function: Callable[..., object], *args: object, **kwargs: object) -> Mapping[str, object]:
    return App("memory://").task("t")(function).call(*args, **kwargs).payload


def test_arguments_are_named_by_the_signature():
    """Given by place or by name, the payload has names."""
    assert {"a": 1, "b": "x", "c": 2.0} == payload_of(some, 1, "x", c=2.0)
    assert {"a": 1, "b": "x"} == payload_of(some, b="x", a=1)


def test_defaults_stay_with_the_worker():
    """What is left out isn't stored, so a new default takes effect for messages in flight."""
    assert {"a": 1} == payload_of(some, 1)
    app = App()
    seen = []

    @app.task("t")
    def task(a: int, b: int = 1) -> None:
        seen.append((a, b))

    with in_memory(app):
        task.send(0)
        assert {"a": 0} == sent(app)[0].payload

        newer = App()

        @newer.task("t")
        def newer_task(a: int, b: int = 2) -> None:
            seen.append((a, b))

        with newer.using(app.driver(), clock=app.clock):
            run_all(newer, raise_errors=True)
    assert [(0, 2)] == seen


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "field"),
    [
        (some, (), {}, "a"),
        (some, (), {"b": "x"}, "a"),
        (some, (1, "x", 2.0), {}, None),
        (some, (1,), {"a": 2}, None),
        (some, (1,), {"d": 2}, None),
        (some, (), {"a": 1, "d": 2}, "d"),
        (open_ended, (1,), {"a": 2}, "a"),
        (open_ended, (1,), {"x": "no int"}, "x"),
    ],
    ids=shown,
)
def test_a_call_that_the_function_would_not_take_is_refused(function, args, kwargs, field):
    """Too many, too few, unknown, twice: as Python would, before anything is stored."""
    with pytest.raises(PayloadError, match=r"^t") as caught:
        payload_of(function, *args, **kwargs)
    assert field == caught.value.field


def test_an_unknown_name_is_answered_with_the_nearest():
    """A slip of the pen is named."""

    def task(user_id: int) -> None: ...

    with pytest.raises(PayloadError) as caught:
        payload_of(task, userid=1)
    assert "user_id" in f"{caught.value} {caught.value.hint}"


def test_an_unknown_name_is_cut():
    """It is the sender's, and may be as long as a body: neither told nor compared in full."""

    def task(user_id: int) -> None: ...

    with pytest.raises(PayloadError) as caught:
        payload_of(task, **{"p" * 300_000: 1})
    assert 200 == len(caught.value.field)
    assert len(str(caught.value)) < 400


def test_positional_only_parameters_are_called_by_place():
    """The payload names them, the function gets them by place, defaults between them filled in."""
    bound = Parameters(positional, "t")
    for payload in ({"a": 1}, {"a": 1, "c": 5}, {"a": 1, "b": 4, "c": 5}):
        args, kwargs = bound.call(bound.arguments(payload))
        assert (1, payload.get("b", 2), payload.get("c", 3)) == positional(*args, **kwargs)


def test_a_function_with_open_ended_names_takes_any():
    """`**rest` is typed too, and may hold its own name."""
    bound = Parameters(open_ended, "t")
    args, kwargs = bound.call(bound.arguments({"a": 1, "rest": 2, "x": 3}))
    assert (1, {"rest": 2, "x": 3}) == open_ended(*args, **kwargs)
    assert {"a": 1, "rest": 2} == bound.values((1,), {"rest": 2})


def test_the_name_of_the_context_is_no_argument():
    """`**rest` would take it, and each run fail by two values for one parameter; unless that goes by place only."""

    def named(context: Context, **rest: int) -> None: ...

    def placed(context: Context, /, **rest: int) -> None: ...

    def alone(context: Context) -> None: ...

    for function in (named, alone):
        with pytest.raises(PayloadError, match="t: context is the Context, which no message gives") as caught:
            payload_of(function, context=2)
        assert "context" == caught.value.field
    assert {"context": 2} == payload_of(placed, context=2)


def test_no_key_of_open_ended_names_is_that_of_the_context():
    """`Unpack[...]` declares its names, of which that one could never be given."""

    class Named(TypedDict):
        context: int

    def named(context: Context, **rest: Unpack[Named]) -> None: ...

    with pytest.raises(TaskDefinitionError, match="'context' of the open-ended parameter of task 't'"):
        Parameters(named, "t").check_types()


def test_what_is_not_annotated_takes_any_json():
    """No annotation is no rule."""
    assert {"a": [1], "b": {"x": None}} == payload_of(unannotated, [1], {"x": None})


class Query(pydantic.fields.FieldInfo):
    """As FastAPI's are."""


@pytest.mark.parametrize(
    "default",
    [pydantic.Field(3, gt=0), pydantic.Field(gt=0), pydantic.Field(default_factory=int), Query(default=1)],
    ids=shown,
)
def test_a_pydantic_field_is_no_default(default):
    """As in FastAPI's paths: its rules would not be checked, and the task would be given the Field itself."""

    def function(x: int, y: int = 1) -> None: ...

    function.__defaults__ = (default,)
    with pytest.raises(TaskDefinitionError, match="the default of 'y' of task 't' is a pydantic Field") as caught:
        Parameters(function, "t")
    assert "y: Annotated[..., Field(...)] = its default" == caught.value.hint


@pytest.mark.parametrize("payload", [None, [1], "text", {1: 2}], ids=shown)
def test_a_payload_that_is_no_object_is_refused(payload):
    """A payload has arguments by name, whether the task is known or not."""
    app = App("memory://")
    app.task("known")(some)
    for name in ("known", "unknown"):
        with pytest.raises(PayloadError, match="no object of arguments by name"):
            app.send(name, payload)
    assert not app.is_open


@pytest.mark.parametrize("deep", [450, 600, 900, 3_000])
def test_a_payload_that_is_nested_too_deeply_is_refused(deep):
    """However deep: where the message is written, or before, where more calls than Python has would be needed."""
    value = 1
    for _ in range(deep):
        value = [value]
    with in_memory(App()) as app:

        @app.task("t")
        def task(value: list) -> None: ...

        with pytest.raises(PayloadError):
            task.send(value)
        assert [] == sent(app)


def test_nothing_is_stored_of_a_payload_that_does_not_fit():
    """The check comes before the store, also for a payload that is nested too deep for the wire."""
    app = App()
    task = app.task("t")(unannotated)
    deep: dict[str, object] = {}
    for _ in range(300):
        deep = {"a": deep}
    with in_memory(app):
        for value in (object(), deep, math.nan):
            with pytest.raises(PayloadError):
                task.send(value)
            with pytest.raises(PayloadError):
                app.send("unknown", {"a": value})
        assert [] == sent(app)


# ── any value ────────────────────────────────────────────────────────────────────────────────────────────

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)


class Everything(msgspec.Struct):
    number: int
    real: float
    text: str
    data: bytes
    moment: datetime
    day: date
    span: timedelta
    id: UUID
    money: Decimal
    color: Color
    pairs: dict[int, tuple[str, bool]]
    names: set[str]
    tree: Tree | None
    free: Any


# RFC 3339 knows no seconds in an offset, and whole minutes short of a day.
offsets = st.builds(lambda minutes: timezone(timedelta(minutes=minutes)), st.integers(-1439, 1439))
everything = st.builds(
    Everything,
    number=st.integers(),
    real=st.floats(allow_nan=False, allow_infinity=False),
    text=texts,
    data=st.binary(max_size=10),
    # A naive one has no offset that would tell the two runs of a repeated hour apart: the second is refused.
    moment=st.datetimes(timezones=st.none() | offsets).map(lambda moment: moment.replace(fold=0)),
    day=st.dates(),
    span=st.timedeltas(),
    id=st.uuids(),
    money=st.decimals(allow_nan=False, allow_infinity=False),
    color=st.sampled_from(Color),
    pairs=st.dictionaries(st.integers(-(2**63), 2**63), st.tuples(texts, st.booleans()), max_size=2),
    names=st.sets(texts, max_size=2),
    tree=st.none() | st.builds(Tree, texts, st.lists(st.builds(Tree, texts, st.just([])), max_size=2)),
    free=json_values,
)


@settings(max_examples=200, deadline=None)
@given(everything)
def test_whatever_is_accepted_arrives_unchanged(value):
    """Value to payload to wire to argument is the identity."""
    bound = parameters(Everything)
    message = Message(id="1", task="t", queue="q", payload=bound.payload({"value": value}))
    assert value == bound.arguments(wire.decode(wire.encode(message), "q").payload)["value"]


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(texts, json_values, max_size=3))
def test_an_undeclared_tasks_payload_arrives_unchanged(payload):
    """For a task of another program every JSON value travels as it is."""
    app = App()
    with in_memory(app):
        app.send("elsewhere", payload)
        assert payload == sent(app)[0].payload


# ── the shorter way for values without parts ─────────────────────────────────────────────────────────────

_ATOMS = st.one_of(
    st.text(st.characters(exclude_categories=()), max_size=3),
    st.integers(),
    st.integers(-(2**65), 2**65),
    st.floats(),
    st.booleans(),
    st.none(),
)
_VALUES = st.one_of(_ATOMS, st.lists(_ATOMS, max_size=2), st.binary(max_size=3), st.sampled_from(["", 1, 1.0, True]))


def _plain(
    *, text: str = "", number: int = 0, size: float = 0, flag: bool = False, maybe: str | None = None, any_: Any = 0
):
    pass


def _told(call: Callable[[], dict[str, object]]) -> object:
    try:
        made = call()
    except PayloadError as error:
        return str(error), error.field
    return [(name, type(value), repr(value)) for name, value in made.items()]


@given(st.dictionaries(st.sampled_from(["text", "number", "size", "flag", "maybe", "any_", "other"]), _VALUES))
@settings(deadline=None)
def test_values_without_parts_are_treated_as_all_others(values: dict[str, object]) -> None:
    """The same payload, the same arguments, the same complaint as by way of JSON."""
    short, long = Parameters(_plain, "shop.task"), Parameters(_plain, "shop.task")
    long._types.fit_plainly = lambda _: False  # type: ignore[method-assign]
    assert _told(lambda: long.payload(values)) == _told(lambda: short.payload(values))
    assert _told(lambda: long.arguments(values)) == _told(lambda: short.arguments(values))


def test_a_payload_is_not_the_dict_that_was_given() -> None:
    """Nor are the arguments the payload: what is changed in one isn't changed in the other."""
    parameters, given_values = Parameters(_plain, "shop.task"), {"text": "a"}
    payload = parameters.payload(given_values)
    given_values["text"] = "b"
    arguments = parameters.arguments(payload)
    payload["text"] = "c"
    assert {"text": "a"} == arguments
