"""The declared types of parameters and fields: resolved, and what they say of the parts of a value."""

from __future__ import annotations

import functools
import operator
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from functools import lru_cache
from inspect import Parameter, unwrap
from itertools import repeat
from types import SimpleNamespace, UnionType
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin

from cloudq.errors import TaskDefinitionError

UNTYPED: Final = Any
"""The hint of what isn't annotated: JSON's own types arrive."""

_SEQUENCE_OF_MANY: Final = 2


def resolved(function: Callable[..., object], parameters: Sequence[Parameter], task: str) -> dict[str, Any]:
    """The types of these parameters: the Context's and the result's names may exist for type checkers only.

    Raises:
        TaskDefinitionError: A name in an annotation doesn't exist.
    """
    annotated = {p.name: p.annotation for p in parameters if p.annotation is not p.empty}
    function = unwrap(function)
    # Of `def f[T](x: T)`: names that no module has.
    own = {parameter.__name__: parameter for parameter in getattr(function, "__type_params__", ())}
    try:
        hints = typing.get_type_hints(
            SimpleNamespace(__annotations__=annotated), getattr(function, "__globals__", {}), own, include_extras=True
        )
    except Exception as error:
        raise TaskDefinitionError(
            f"the annotations of task {task!r} can't be resolved: {error}",
            hint="import the name at module level, not only under TYPE_CHECKING",
        ) from error
    return {name: _readable(hint) for name, hint in hints.items()}


# By a name that type checkers take for a value: it is given its items at run time.
_sequence: Final[Any] = Sequence


def _readable(hint: Any) -> Any:
    """A hint in msgspec's terms: any JSON value is an object, and what can be iterated over is read as a sequence."""
    if hint is object or _says_nothing(hint):
        return Any
    arguments = get_args(hint)
    if hint is Iterable or get_origin(hint) is Iterable:
        return _sequence[_readable(arguments[0])] if arguments else _sequence
    if get_origin(hint) in {Union, UnionType}:
        return functools.reduce(operator.or_, map(_readable, arguments))
    if get_origin(hint) in {list, dict, set, tuple, frozenset, Sequence}:
        return get_origin(hint)[tuple(one if one is Ellipsis else _readable(one) for one in arguments)]
    return hint


def _says_nothing(hint: Any) -> bool:
    """Whether it is the T of `def f[T](x: T)`, which takes anything."""
    return isinstance(hint, TypeVar) and hint.__bound__ is None and not hint.__constraints__


def bare(hint: Any) -> Any:
    """A hint without what stands around it: Annotated, Required, NewType, the name of an alias."""
    while True:
        if get_origin(hint) in {Annotated, typing.Required, typing.NotRequired}:
            hint = get_args(hint)[0]
        elif hasattr(hint, "__supertype__"):
            hint = hint.__supertype__
        elif hasattr(hint, "__value__"):
            hint = hint.__value__
        else:
            return hint


def key_of(hint: Any) -> tuple[Any, bool | None]:
    """What is declared of a TypedDict's key, and whether it has to be there; `None` where its hint doesn't say."""
    required = None
    while get_origin(hint) in {typing.Required, typing.NotRequired, getattr(typing, "ReadOnly", None)} - {None}:
        if (origin := get_origin(hint)) in {typing.Required, typing.NotRequired}:
            required = origin is typing.Required
        [hint] = get_args(hint)
    return _readable(hint), required


def item_hints(hint: object, items: Sequence[object]) -> Iterator[Any]:
    """The declared type of each item of a sequence or a set; `None` where it isn't clear which."""
    hint = _member(hint, list | tuple | set | frozenset)
    if hint is None:
        return repeat(None)
    arguments = get_args(hint)
    if not arguments:
        return repeat(UNTYPED)
    if get_origin(hint) is tuple and not (len(arguments) == _SEQUENCE_OF_MANY and arguments[1] is Ellipsis):
        return iter([*arguments, *[None] * (len(items) - len(arguments))])
    return repeat(arguments[0])


def value_hints(hint: object) -> tuple[Any, Any]:
    """The declared types of a mapping's keys and values; those of a TypedDict's values, by key."""
    hint = _member(hint, dict)
    if hint is None:
        return None, None
    if typing.is_typeddict(get_origin(hint) or hint):
        return str, _hints_of(get_origin(hint) or hint)
    arguments = get_args(hint)
    if len(arguments) == _SEQUENCE_OF_MANY:
        return arguments[0], arguments[1]
    return UNTYPED, UNTYPED


def _member(hint: object, kinds: Any) -> Any:
    """Of a union, the member for such containers, if there is just one; else the hint itself, bare."""
    hint = bare(hint)
    if isinstance(hint, TypeVar) or hint is None:
        return None
    if get_origin(hint) not in {Union, UnionType}:
        return hint
    found = [one for one in map(bare, get_args(hint)) if _is_container(one, kinds)]
    return found[0] if len(found) == 1 else None


def _is_container(hint: Any, kinds: Any) -> bool:
    origin = get_origin(hint) or hint
    if typing.is_typeddict(origin):
        return kinds is dict
    wanted = get_args(kinds) or (kinds,)
    return isinstance(origin, type) and any(issubclass(kind, origin) for kind in wanted)


@lru_cache(maxsize=1024)
def _hints_of(kind: Any) -> Mapping[str, Any]:
    fields = getattr(kind, "__pydantic_fields__", None)
    if fields is not None:
        return {name: field.annotation for name, field in fields.items()}
    try:
        return typing.get_type_hints(kind, include_extras=True)
    except Exception:  # noqa: BLE001 - a type checker's names: then nothing is known, and nothing is refused for it
        return {}


def field_hints(kind: type) -> Mapping[str, Any]:
    """The declared types of a class's fields; nothing where they can't be resolved."""
    return _hints_of(kind)


def is_model(kind: object) -> bool:
    """Whether a type is a pydantic model."""
    return isinstance(kind, type) and hasattr(kind, "__pydantic_validator__") and hasattr(kind, "model_validate_json")


def models_within(model: Any) -> Iterator[Any]:
    """A pydantic model and all models that it is made of, each once."""
    seen: list[Any] = []
    todo = [model]
    while todo:
        kind = todo.pop()
        if kind in seen:
            continue
        seen.append(kind)
        yield kind
        todo += [part for hint in field_hints(kind).values() for part in parts_of(hint) if is_model(part)]


def parts_of(hint: Any) -> Iterator[Any]:
    """A type and all that it is made of, each once; but not the parts of models, which check their own fields."""
    seen: list[Any] = []
    todo = [hint]
    while todo:
        part = todo.pop()
        if any(part is other for other in seen):
            continue
        seen.append(part)
        yield part
        todo += get_args(part) if get_origin(part) is not typing.Literal else ()
        todo += [getattr(part, mark) for mark in ("__value__", "__supertype__") if hasattr(part, mark)]
        if isinstance(part, TypeVar):
            todo += [part.__bound__, *part.__constraints__]
        kind = get_origin(part) or part
        if _shows_fields(kind):
            todo += field_hints(kind).values()


def _shows_fields(kind: Any) -> bool:
    if is_model(kind) or not isinstance(kind, type):
        return False
    return (
        is_dataclass(kind)
        or typing.is_typeddict(kind)
        or hasattr(kind, "__struct_fields__")
        or hasattr(kind, "__attrs_attrs__")
        or (issubclass(kind, tuple) and hasattr(kind, "_fields"))
    )
