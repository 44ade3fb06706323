"""Keys of messages: templates and functions, checked at the declaration, and what they give for a payload."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from string import Formatter
from typing import TypeAlias

from cloudq.errors import OptionError, TaskDefinitionError, nearest, wording

Key: TypeAlias = "str | Callable[..., str]"
"""A template over the task's parameters (`"order-{order_id}"`), or a function of them: it takes those that it names."""

MAX_KEY = 512


def check_key(name: str, value: object) -> str:
    """The key, if it is one.

    Raises:
        OptionError: It isn't a text of 1 to 512 characters, without NUL.
    """
    # Databases have no NUL in their texts.
    if not isinstance(value, str) or not 0 < len(value) <= MAX_KEY or "\0" in value or not is_utf8(value):
        shown_value = repr(value)[:60]
        raise OptionError(
            f"{name} is a text of 1 to {MAX_KEY} characters without NUL, not {shown_value}",
            hint="an id of the work, or a hash of it",
        )
    return value


def check_template(option: str, key: Key, parameters: Sequence[str], task: str) -> None:
    """Refuses at declaration a key that could only fail at a send.

    Raises:
        TaskDefinitionError: It names what isn't a parameter, or can't be the same for the same work.
    """
    if callable(key):
        _check_function(option, key, parameters, task)
        return
    if not isinstance(key, str):
        raise TaskDefinitionError(
            f"{option} of task {task!r} is a text or a function, not {key!r}", hint=f'{option}="order-{{order_id}}"'
        )
    try:
        fields = list(_fields(key))
    except ValueError as error:
        raise TaskDefinitionError(
            f"{option}={key!r} of task {task!r} is no template: {error}",
            hint=f'{option}="order-{{order_id}}"; {{{{ and }}}} for braces',
        ) from error
    for field in fields:
        name = re.split(r"[.\[]", field, maxsplit=1)[0]
        if name not in parameters:
            raise TaskDefinitionError(
                f"{option}={key!r}: task {task!r} has no parameter {name!r}: {nearest(name, parameters)}",
                hint="a template names parameters of the task: the payload is all that there is of a message",
            )
    if option == "idempotency_key" and not fields:
        raise TaskDefinitionError(
            f"idempotency_key={key!r} of task {task!r} names no parameter: all its messages would be the same work",
            hint='name what tells them apart: "order-{order_id}"',
        )


def key_for(option: str, key: Key, arguments: Mapping[str, object]) -> str:
    """The key of one message.

    Raises:
        OptionError: The template or function fails for these arguments, or gives no key.
    """
    try:
        value = key(**_taken(key, arguments)) if callable(key) else key.format_map(arguments)
    except Exception as error:
        raise OptionError(
            f"{option} can't be made from the arguments: {type(error).__name__}: {wording(error)}",
            hint="see the task's own template or function for it",
        ) from error
    return check_key(option, value)


def _fields(template: str) -> Iterator[str]:
    """What a template names, within its format specifications too."""
    for _, field, specification, _ in Formatter().parse(template):
        if field is not None:
            yield field
            yield from _fields(specification or "")


def _check_function(option: str, key: Callable[..., str], parameters: Sequence[str], task: str) -> None:
    takes = _parameters_of(key)
    for parameter in takes or ():
        if parameter.kind in {parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL}:
            raise TaskDefinitionError(f"{option} of task {task!r}: its function takes {parameter}, not by name")
        if parameter.kind is not parameter.VAR_KEYWORD and parameter.name not in parameters:
            raise TaskDefinitionError(
                f"{option} of task {task!r}: its function takes {parameter.name!r}, and the task has no such "
                f"parameter: {nearest(parameter.name, parameters)}"
            )


def _taken(key: Callable[..., str], arguments: Mapping[str, object]) -> Mapping[str, object]:
    """Those of the arguments that the function takes."""
    takes = _parameters_of(key)
    if takes is None or any(parameter.kind is parameter.VAR_KEYWORD for parameter in takes):
        return arguments
    return {parameter.name: arguments[parameter.name] for parameter in takes if parameter.name in arguments}


def _parameters_of(function: Callable[..., object]) -> Sequence[inspect.Parameter] | None:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return None  # some functions written in C don't tell


def is_utf8(text: str) -> bool:
    """Whether it can be encoded: a lone surrogate can't."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
