"""Binding: from a call's arguments to a JSON payload and back to typed arguments, by the function's own signature."""

from __future__ import annotations

import inspect
import math
import re
import typing
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from types import SimpleNamespace
from typing import Any, NotRequired, TypedDict

import msgspec

from cloudq.errors import PayloadError, TaskDefinitionError, nearest
from cloudq.tasks.context import Context
from cloudq.tasks.models import first_error, is_model, plain, read_model, write_model

_PATH = re.compile(r" - at `(?:key` in `)?\$(?P<path>[^`]*)`$")
_MISSING = re.compile(r"missing required field `(?P<name>[^`]*)`")


class Parameters:
    """The parameters of a task's function, without its leading `Context`.

    Declaring looks at names only; the types are resolved at the first use, when all names of the user's modules exist.

    Args:
        function: The task's function.
        task: The task's name, for messages.

    Raises:
        TaskDefinitionError: The signature can't be called by name: `*args`, or a `Context` that doesn't lead.
    """

    def __init__(self, function: Callable[..., object], task: str) -> None:
        self._function = function
        self._task = task
        parameters = list(inspect.signature(function).parameters.values())
        self.takes_context = bool(parameters) and _is_context(parameters[0], function)
        if self.takes_context:
            parameters = parameters[1:]
        for parameter in parameters:
            if parameter.kind is parameter.VAR_POSITIONAL:
                raise TaskDefinitionError(
                    f"task {task!r} takes *{parameter.name}: a payload names its arguments",
                    hint=f"declare it as a list: {parameter.name}: list[...]",
                )
            if _is_context(parameter, function):
                raise TaskDefinitionError(
                    f"task {task!r} takes a Context as {parameter.name!r}, which isn't its first parameter",
                    hint="put the Context first, or call cloudq.current()",
                )
        self._open = next((p for p in parameters if p.kind is p.VAR_KEYWORD), None)
        self._named = {p.name: p for p in parameters if p.kind is not p.VAR_KEYWORD}
        self._positional_only = [p.name for p in parameters if p.kind is p.POSITIONAL_ONLY]
        self._signature = inspect.Signature(parameters)

    @property
    def names(self) -> list[str]:
        """The parameters' names, in order."""
        return list(self._named)

    def values(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> dict[str, object]:
        """The arguments of a call by name, defaults left out.

        Raises:
            PayloadError: They don't fit the signature.
        """
        if not args:
            return dict(kwargs)  # the usual case; names are checked with the types
        try:
            bound = self._signature.bind_partial(*args, **kwargs)  # what is missing is named with the types
        except TypeError as error:
            raise PayloadError(f"{self._task}: {error}", hint=f"its parameters: {self._signature}") from error
        values = dict(bound.arguments)
        if self._open is not None:
            extra: Mapping[str, object] = values.pop(self._open.name, {})
            for name in extra:
                if name in self._named:  # f(1, a=2) of def f(a, /, **rest): a payload has one value a name
                    raise PayloadError(f"{self._task}: {name} is given twice", field=name)
            values.update(extra)
        return values

    def payload(self, values: Mapping[str, object]) -> dict[str, object]:
        """The values as JSON, checked against the types by the very reading that the worker will do.

        Raises:
            PayloadError: Naming the field that doesn't fit.
        """
        payload = to_json(values, self._task)
        self.arguments(payload)
        return payload

    def arguments(self, payload: Mapping[str, object]) -> dict[str, object]:
        """The typed arguments in a JSON payload.

        Raises:
            PayloadError: Naming the field that doesn't fit.
        """
        unknown = [name for name in payload if name not in self._named]
        extra: dict[str, object] = {}
        if unknown:
            if self._open is None:
                raise PayloadError(
                    f"{self._task} has no parameter {unknown[0]!r}: {nearest(unknown[0], self._named)}",
                    field=unknown[0],
                )
            extra = {name: self._converted(payload[name], self._types[1], name) for name in unknown}
            payload = {name: value for name, value in payload.items() if name in self._named}
        arguments: dict[str, object] = self._converted(payload, self._types[0], "")
        return {**arguments, **extra} if extra else arguments

    def with_defaults(self, arguments: Mapping[str, object]) -> dict[str, object]:
        """The arguments, those left out at their defaults."""
        defaults = {p.name: p.default for p in self._named.values() if p.default is not p.empty}
        return {**defaults, **arguments}

    def call(self, arguments: dict[str, object]) -> tuple[tuple[object, ...], dict[str, object]]:
        """What to call the function with."""
        if not self._positional_only:
            return (), arguments
        filled = self.with_defaults(arguments)
        positional = tuple(filled[name] for name in self._positional_only)
        return positional, {name: value for name, value in arguments.items() if name not in self._positional_only}

    def check_types(self) -> None:
        """Resolves the types now.

        Raises:
            TaskDefinitionError: A name in an annotation doesn't exist, or a type can't travel as JSON.
        """
        _ = self._types

    @cached_property
    def _types(self) -> tuple[Any, Any]:
        hints = self._hints()
        fields: dict[str, Any] = {}
        for parameter in self._named.values():
            hint = hints.get(parameter.name, Any)
            self._check(parameter.name, hint)
            fields[parameter.name] = hint if parameter.default is parameter.empty else NotRequired[hint]
        of_open = Any if self._open is None else hints.get(self._open.name, Any)
        if self._open is not None:
            self._check(self._open.name, of_open)
        return TypedDict("Parameters", fields), of_open  # type: ignore[operator]  # built at run time

    def _hints(self) -> dict[str, Any]:
        """The types of the parameters alone: the Context's and the result's names may exist for type checkers only."""
        parameters = [*self._named.values(), *([] if self._open is None else [self._open])]
        annotated = {p.name: p.annotation for p in parameters if p.annotation is not p.empty}
        function = inspect.unwrap(self._function)
        try:
            hints = typing.get_type_hints(
                SimpleNamespace(__annotations__=annotated), getattr(function, "__globals__", {}), include_extras=True
            )
        except Exception as error:
            raise TaskDefinitionError(
                f"the annotations of task {self._task!r} can't be resolved: {error}",
                hint="import the name at module level, not only under TYPE_CHECKING",
            ) from error
        # Any JSON value is an object.
        return {name: Any if hint is object else hint for name, hint in hints.items()}

    def _check(self, name: str, hint: Any) -> None:
        from msgspec.inspect import CustomType, DataclassType, RawType, type_info

        what = f"parameter {name!r} of task {self._task!r}"
        try:
            parts = list(_parts(type_info(hint)))
        except Exception as error:
            raise TaskDefinitionError(f"{what}: {error}") from error
        for part in parts:
            if isinstance(part, RawType) or (isinstance(part, CustomType) and not is_model(part.cls)):
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

    def _converted(self, value: object, kind: Any, within: str) -> Any:
        try:
            return msgspec.convert(value, kind, str_keys=True, dec_hook=read_model)
        except msgspec.ValidationError as error:
            text, field = _described(error, within)
            where = f"{self._task}: {field}: " if field else f"{self._task}: "
            raise PayloadError(where + text, field=field or None) from error


def to_json(values: Mapping[str, object], task: str) -> dict[str, object]:
    """The values as JSON values: what a reader of the encoded payload would get.

    Raises:
        PayloadError: Naming the field that holds something that isn't JSON.
    """
    if not isinstance(values, Mapping) or not all(isinstance(name, str) for name in values):
        raise PayloadError(f"{task}: the payload is no object of arguments by name", hint='{"name": value, ...}')
    try:
        encoded = msgspec.json.encode(values, enc_hook=write_model)
        payload: dict[str, object] = msgspec.json.decode(encoded)
    except Exception as error:
        field, reason = _culprit(values) or (None, error)
        where = "the payload" if field is None else field
        raise PayloadError(f"{task}: {where} can't travel as JSON: {reason}", field=field) from error
    # JSON has no NaN and no infinity; msgspec writes them as null, which would change the payload silently.
    if b"null" in encoded and (culprit := _not_finite(values)):
        raise PayloadError(f"{task}: {culprit} holds a number that JSON doesn't have (NaN or infinity)", field=culprit)
    return payload


def _is_context(parameter: inspect.Parameter, function: Callable[..., object]) -> bool:
    annotation = parameter.annotation
    while isinstance(annotation, str):  # twice, where a text is annotated under `from __future__ import annotations`
        try:
            # The user's own annotation in the user's own module, which is what get_type_hints does with all of them.
            annotation = eval(annotation, getattr(inspect.unwrap(function), "__globals__", {}))  # noqa: S307
        except Exception:  # noqa: BLE001 - a forward reference, or a name that exists for type checkers only
            return annotation.strip("'\"") in {"Context", "cloudq.Context"}
    return annotation is Context


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


def _described(error: msgspec.ValidationError, within: str) -> tuple[str, str]:
    """What msgspec or pydantic says without its path, and the path as `a.b[0]`."""
    text = str(error)
    path = ""
    if match := _PATH.search(text):
        path, text = match["path"], text[: match.start()]
    if match := _MISSING.search(text):
        path += "." + match["name"]
        text = "is missing"
    if complaint := first_error(error.__cause__):
        path, text = path + complaint[0], complaint[1]
    return text, (within + path).lstrip(".")


def _culprit(values: Mapping[str, object]) -> tuple[str, Exception] | None:
    for name, value in values.items():
        try:
            msgspec.json.decode(msgspec.json.encode(value, enc_hook=write_model))
        except Exception as error:  # noqa: BLE001 - reported by the caller
            return name, error
    return None


def _not_finite(values: Mapping[str, object]) -> str | None:
    def has(value: object) -> bool:
        if isinstance(value, float):
            return not math.isfinite(value)
        if isinstance(value, dict):
            return any(has(part) for part in value.values())
        return isinstance(value, (list, tuple, set, frozenset)) and any(has(part) for part in value)

    return next((name for name, value in values.items() if has(msgspec.to_builtins(value, enc_hook=plain))), None)
