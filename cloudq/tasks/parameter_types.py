"""`ParameterTypes`: the types of a task's parameters, and what reads each of them from JSON."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from collections.abc import Set as AbstractSet
from enum import Enum
from math import isfinite
from types import UnionType
from typing import Any, Final, NotRequired, TypedDict, Union, get_args, get_origin

import msgspec

from cloudq.errors import TaskDefinitionError
from cloudq.tasks.adapters import Adapter, has_models, has_rules
from cloudq.tasks.hints import is_model
from cloudq.tasks.models import is_frozen, is_table

# Under another name, since type checkers take the usual one for a declaration.
_typed_dict: Final[Any] = TypedDict
# Type descriptions of msgspec whose values may run code of the user's own: constructors, validators, converters.
_CUSTOM: Final = frozenset({"StructType", "DataclassType", "CustomType"})
# JSON's values without parts: where such a type is declared, a value of it is read as what it is.
_PLAIN: Final[AbstractSet[Any]] = frozenset({str, int, float, bool, type(None)})
# Whole numbers within these are written and read as they are; beyond, msgspec writes none.
_INT_MIN: Final = -(2**63)
_INT_MAX: Final = 2**63 - 1


class ParameterTypes:
    """The types of a task's parameters, and how they are read from JSON.

    Args:
        declared: The type of each named parameter.
        required: Which of them have no default.
        of_open: The type of those that `**rest` takes, or `None` if there are none.
        task: The task's name, for messages.

    Raises:
        TaskDefinitionError: One can't travel as JSON, or would not be checked.
    """

    def __init__(self, declared: Mapping[str, Any], required: AbstractSet[str], of_open: Any, task: str) -> None:
        self.hints = declared
        self.of_open = of_open
        self._adapters: dict[str, Adapter] = {}
        self.adapted: Collection[str] = self._adapters.keys()
        """The parameters that are read by an adapter; that of `**rest` has no name."""
        self.custom = False
        """Whether code of the user's own takes part in reading, so that a second reading may give something else."""
        fields: dict[str, Any] = {}
        for name, hint in declared.items():
            read_as = self._checked(name, hint, task)
            fields[name] = read_as if name in required else NotRequired[read_as]
        self.kind: Any = _typed_dict("Parameters", fields)
        self.open_kind = None if of_open is None else self._checked("", of_open, task)
        self._required = required
        self._plain = {name: kinds for name, hint in declared.items() if (kinds := _plain_kinds(hint))}

    def fit_plainly(self, values: object) -> bool:
        """Whether these are the arguments of a call, and each is of a type that is declared and has no parts.

        Then their JSON, read by the types, is what they are; so neither has to be done to know it. `False` says
        nothing: they may still fit.

        Args:
            values: The arguments by name, or what is said to be them.
        """
        if type(values) is not dict or not self._required <= values.keys():
            return False
        plain = self._plain
        for name, value in values.items():
            kind = type(value)
            if kind not in plain.get(name, ()) or type(name) is not str:
                return False
            if kind is str:
                if not value.isascii() and not _is_unicode(value):
                    return False
            elif kind is int:
                if not _INT_MIN <= value <= _INT_MAX:
                    return False
            elif kind is float and not isfinite(value):
                return False
        return True

    def read(self, name: str, value: object) -> object:
        """What an adapter makes of a parameter's value; the value itself where msgspec has read it."""
        adapter = self._adapters.get(name)
        return value if adapter is None else adapter.read(value)

    def _checked(self, name: str, hint: Any, task: str) -> Any:
        """What msgspec is to read a parameter as."""
        from msgspec.inspect import type_info

        what = f"parameter {name!r} of task {task!r}" if name else f"the open-ended parameter of task {task!r}"
        if has_rules(hint):
            return self._adapt(name, Adapter(hint, what, "has rules in its annotation"))
        try:
            parts = list(_parts(type_info(hint)))
        except RecursionError:
            return self._adapt(name, Adapter(hint, what, "is an alias that names itself"))
        except Exception as error:
            if has_models(hint):
                return self._adapt(name, Adapter(hint, what, "is a union of models"))
            raise TaskDefinitionError(f"{what}: {error}") from error
        for part in parts:
            _refuse_unreadable(part, what)
            self.custom = self.custom or type(part).__name__ in _CUSTOM
        return hint

    def _adapt(self, name: str, adapter: Adapter) -> Any:
        self._adapters[name] = adapter
        self.custom = True
        return Any


def _is_unicode(text: str) -> bool:
    """Whether there is no half of a surrogate pair in it, which JSON doesn't have."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _plain_kinds(hint: Any) -> AbstractSet[Any]:
    """The types without parts whose values a hint takes as they are; none where it says more than a type."""
    if hint is Any:
        return _PLAIN
    kinds = get_args(hint) if get_origin(hint) in {Union, UnionType} else (hint,)
    # By identity: what stands in an annotation needn't have a hash.
    return frozenset(kinds) if all(any(kind is plain for plain in _PLAIN) for kind in kinds) else frozenset()


def _refuse_unreadable(part: object, what: str) -> None:
    from msgspec.inspect import CustomType, DataclassType, RawType

    if isinstance(part, RawType) or (isinstance(part, CustomType) and not _is_read_by_hook(part.cls)):
        kind = part.cls.__name__ if isinstance(part, CustomType) else "msgspec.Raw"
        raise TaskDefinitionError(
            f"{what} is or holds a {kind}, which can't travel as JSON",
            hint="use a dataclass, a msgspec Struct, a TypedDict, an attrs class or a pydantic model",
        )
    if isinstance(part, DataclassType) and hasattr(part.cls, "__pydantic_validator__"):
        raise TaskDefinitionError(
            f"{what} is or holds the pydantic dataclass {part.cls.__name__}, whose rules would not be checked",
            hint="use a pydantic BaseModel, or a plain dataclass",
        )
    if isinstance(part, CustomType) and is_table(part.cls):
        raise TaskDefinitionError(
            f"{what} is or holds the table {part.cls.__name__}, which SQLModel doesn't validate",
            hint="declare a SQLModel without table=True for the payload, or send the row's key",
        )


def _is_read_by_hook(kind: type) -> bool:
    return is_model(kind) or issubclass(kind, Enum) or is_frozen(kind)


def _parts(info: object) -> Iterator[object]:
    """A type description of msgspec and all that it is made of, each once."""
    seen: set[int] = set()
    todo = [info]
    while todo:
        part = todo.pop()
        if isinstance(part, (tuple, list)):
            todo += part
        elif isinstance(part, msgspec.Struct) and id(part) not in seen:
            seen.add(id(part))
            yield part
            todo += [getattr(part, name) for name in part.__struct_fields__]
