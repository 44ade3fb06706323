"""The direct way to the commands that programs start: their plain arguments are read here.

typer and what it brings take as long to load as the whole worker, and half as much memory as it has. So what is written
in the plain way is read by the same declarations without it; whatever else there is, help and mistakes above all, is
left to typer, which knows what to say.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from inspect import Parameter, signature
from types import NoneType
from typing import Any, Final, NamedTuple, get_args, get_type_hints

from cloudq.cli.options import DEBUG
from cloudq.cli.parameters import Argument, Option

COMMANDS: Final = ("worker", "send")
"""Each is a function of that name in a module of that name."""

# Set where a shell asks what could come next.
_COMPLETION: Final = "_CLOUDQ_COMPLETE"
_MOST_DIGITS: Final = 9
_MANY: Final = list[str]


def command_of(words: Sequence[str]) -> Callable[[], None] | None:
    """The call that a command line stands for; `None` if typer is to look at it."""
    if not words or words[0] not in COMMANDS or _COMPLETION in os.environ:
        return None
    function: Callable[..., None] = getattr(import_module(f"cloudq.cli.{words[0]}"), words[0])
    given = arguments_of(function, words[1:])
    return None if given is None else partial(function, **given)


def arguments_of(function: Callable[..., None], words: Sequence[str]) -> dict[str, Any] | None:
    """What the words give a command's function, by parameter; `None` if they aren't plain."""
    declared = _declared(function)
    places = [parameter for parameter in declared if isinstance(parameter.said, Argument)]
    options = {name: parameter for parameter in declared for name in _names(parameter.said)}
    given: dict[str, Any] = {}
    left = iter(words)
    for word in left:
        if word.startswith("-") and word != "-":
            name, equals, value = word.partition("=")
            parameter = options.get(name)
            read = None if parameter is None else _option_value(parameter, value if equals else None, left)
        else:
            parameter = places.pop(0) if places else None
            read = word if parameter is not None and parameter.kind is str else None
        if parameter is None or read is None:
            return None
        if parameter.kind == _MANY:
            given.setdefault(parameter.name, []).append(read)
        elif parameter.name in given:
            return None  # which of them counts is typer's to say
        else:
            given[parameter.name] = read
    missing = any(parameter.required and parameter.name not in given for parameter in declared)
    return None if missing else given


class _Declared(NamedTuple):
    name: str
    kind: Any
    said: Any
    required: bool


def _declared(function: Callable[..., None]) -> list[_Declared]:
    hints: Mapping[str, Any] = get_type_hints(function, include_extras=True)
    declared = []
    for name, parameter in signature(function).parameters.items():
        hint, said = get_args(hints[name])
        kinds = [kind for kind in get_args(hint) if kind is not NoneType] if NoneType in get_args(hint) else [hint]
        declared.append(_Declared(name, kinds[0], said, parameter.default is Parameter.empty))
    return declared


def _names(said: Option | Argument) -> Iterator[str]:
    if isinstance(said, Option) and said is not DEBUG:
        yield said.name
        if said.short is not None:
            yield said.short


def _option_value(parameter: _Declared, value: str | None, left: Iterator[str]) -> object:
    """What is given by an option; `None` for nothing plain."""
    if parameter.kind is bool:
        return True if value is None else None
    if value is None:
        value = next(left, "-")
        if value.startswith("-"):
            return None
    if parameter.kind is int:
        return _number(value, parameter.said)
    return value if parameter.kind is str or parameter.kind == _MANY else None


def _number(text: str, option: Option) -> int | None:
    if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS):
        return None
    number = int(text)
    too_small = option.min is not None and number < option.min
    too_large = option.max is not None and number > option.max
    return None if too_small or too_large else number
