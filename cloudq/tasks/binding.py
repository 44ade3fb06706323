"""Binding: from a call's arguments to a JSON payload and back to typed arguments, by the function's own signature."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Unpack, get_args, get_origin

import msgspec

from cloudq.core.printable import NAME_CHARS, shortened
from cloudq.errors import PayloadError, TaskDefinitionError, nearest
from cloudq.tasks.adapters import Adapter
from cloudq.tasks.arrival import Comparison, difference
from cloudq.tasks.dependencies.marks import Mark, evaluated, is_context, is_marked, mark_of
from cloudq.tasks.hints import field_hints, key_of, resolved
from cloudq.tasks.json_values import to_json
from cloudq.tasks.models import first_error, read_value
from cloudq.tasks.parameter_types import ParameterTypes

_PATH = re.compile(r" - at `(?:key` in `)?\$(?P<path>[^`]*)`$")
_ENUM = "Invalid enum value"
# As the default of a parameter: FastAPI's way, and that of its Query and Body.
_PYDANTIC_FIELD = ("pydantic.fields", "FieldInfo")
_MISSING = re.compile(r"missing required field `(?P<name>[^`]*)`")


class Parameters:
    """The parameters of a task's function, without its leading `Context` and its dependencies.

    Declaring looks at names, and for dependencies; the types are resolved at the first use, when all names of the
    user's modules exist.

    Args:
        function: The task's function.
        task: The task's name, for messages.

    Raises:
        TaskDefinitionError: The signature can't be called by name: `*args`, or a `Context` that doesn't lead; or a
            default is a pydantic `Field`; or a dependency is marked in a way that can't be kept.

    Attributes:
        takes_context: Whether the first is a `Context`.
        dependencies: Those that are filled in, by name.
        filled_in: Whether there is any of these, so that a call of the function itself lacks something.
    """

    def __init__(self, function: Callable[..., object], task: str) -> None:
        self._function = function
        self._task = task
        parameters = list(inspect.signature(function).parameters.values())
        names = getattr(inspect.unwrap(function), "__globals__", {})
        annotations = {p.name: evaluated(p.annotation, names) for p in parameters}
        self.takes_context = bool(parameters) and is_context(annotations[parameters[0].name])
        # What no message gives, by the names by which the function could be given it a second time.
        self._not_sent: dict[str, str] = {}
        if self.takes_context:
            if parameters[0].kind is not inspect.Parameter.POSITIONAL_ONLY:
                self._not_sent[parameters[0].name] = "the Context"
            parameters = parameters[1:]
        self.dependencies: dict[str, Mark] = {}
        parameters = self._without_dependencies(parameters, annotations)
        self._not_sent |= dict.fromkeys(self.dependencies, "a dependency")
        self.filled_in = self.takes_context or bool(self.dependencies)
        for parameter in parameters:
            if parameter.kind is parameter.VAR_POSITIONAL:
                raise TaskDefinitionError(
                    f"task {task!r} takes *{parameter.name}: a payload names its arguments",
                    hint=f"declare it as a list: {parameter.name}: list[...]",
                )
            if is_context(annotations[parameter.name]):
                raise TaskDefinitionError(
                    f"task {task!r} takes a Context as {parameter.name!r}, which isn't its first parameter",
                    hint="put the Context first, or call cloudq.current()",
                )
            if any((base.__module__, base.__name__) == _PYDANTIC_FIELD for base in type(parameter.default).__mro__):
                raise TaskDefinitionError(
                    f"the default of {parameter.name!r} of task {task!r} is a pydantic Field, whose rules would not be "
                    "checked",
                    hint=f"{parameter.name}: Annotated[..., Field(...)] = its default",
                )
        self._open = next((p for p in parameters if p.kind is p.VAR_KEYWORD), None)
        self._named = {p.name: p for p in parameters if p.kind is not p.VAR_KEYWORD}
        self._positional_only = [p.name for p in parameters if p.kind is p.POSITIONAL_ONLY]
        self._signature = inspect.Signature(parameters)

    def _without_dependencies(
        self, parameters: list[inspect.Parameter], annotations: Mapping[str, Any]
    ) -> list[inspect.Parameter]:
        """What a payload has: behind a dependency by name only, as positions there aren't the function's own."""
        sent = []
        for parameter in parameters:
            mark = mark_of(parameter, annotations[parameter.name], f"task {self._task!r}")
            if mark is not None:
                self.dependencies[parameter.name] = mark
            elif self.dependencies and parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
                sent.append(parameter.replace(kind=parameter.KEYWORD_ONLY))
            else:
                sent.append(parameter)
        return sent

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
            raise PayloadError(f"{self._task}: {error}", hint=self._hint) from error
        values = dict(bound.arguments)
        if self._open is not None:
            extra: Mapping[str, object] = values.pop(self._open.name, {})
            for name in extra:
                if name in self._named:  # f(1, a=2) of def f(a, /, **rest): a payload has one value a name
                    raise PayloadError(f"{self._task}: {name} is given twice", field=name, hint="give it by name only")
            values.update(extra)
        return values

    @property
    def _hint(self) -> str:
        return f"its parameters: {self._signature}"

    def payload(self, values: Mapping[str, object], *, convert_untyped: bool = False) -> dict[str, object]:
        """The values as JSON: what a worker would read of it is what was given.

        It is read as the worker will read it and compared with what was given. Where that was JSON's form of a value,
        and code of the user's own took part in reading it, what was read is written and read a second time.

        Args:
            values: The arguments by name.
            convert_untyped: Whether a value that nothing declares may arrive as JSON's form of it (a date as a text).

        Raises:
            PayloadError: Naming the field that doesn't fit, or that would arrive as something else.
        """
        if self._types.fit_plainly(values):
            return dict(values)  # the usual case
        payload = to_json(values, self._task)
        try:
            arrived = self.arguments(payload)
            forms = self._refuse_difference(values, arrived, convert_untyped=convert_untyped)
            if forms and self._types.custom:
                again = self.arguments(to_json(arrived, self._task))
                self._refuse_difference(arrived, again, convert_untyped=convert_untyped)
        except RecursionError as error:
            # Far beyond what a message may have, which is looked at when it is written.
            text = f"{self._task}: the payload has too many objects and arrays within each other"
            raise PayloadError(text) from error
        return payload

    def _refuse_difference(
        self, values: Mapping[str, object], arrived: Mapping[str, object], *, convert_untyped: bool
    ) -> list[str]:
        """Returns the places at which JSON's form of a value was given."""
        comparison = Comparison(convert_untyped=convert_untyped)
        hints, of_open = self._types.hints, self._types.of_open
        for name, value in values.items():
            found = difference(value, arrived[name], hints.get(name, of_open), name, comparison)
            if found is None:
                continue
            if found.untyped:
                raise PayloadError(
                    f"{self._task}: {found.path}: {_a(found.given)} would arrive as {_a(found.arrives)}, "
                    "as nothing says what it is",
                    field=found.path,
                    hint=f"annotate the parameter, or convert it first; App(convert_untyped=True) sends it as "
                    f"{_a(found.arrives)}",
                )
            raise PayloadError(
                f"{self._task}: {found.path} would not arrive as it was given: "
                + (
                    f"another value of {found.arrives}"
                    if found.given == found.arrives
                    else f"{_a(found.arrives)} in place of {_a(found.given)}"
                ),
                field=found.path,
                hint="what the type writes as JSON it has to read back: see docs/reference/payloads.md",
            )
        return comparison.forms

    def arguments(self, payload: Mapping[str, object]) -> dict[str, object]:
        """The typed arguments in a JSON payload.

        Raises:
            PayloadError: Naming the field that doesn't fit.
        """
        types = self._types
        if types.fit_plainly(payload):
            return dict(payload)
        extra: dict[str, object] = {}
        if not payload.keys() <= types.hints.keys():
            extra = self._rest(payload)
            payload = {name: value for name, value in payload.items() if name in types.hints}
        arguments: dict[str, object] = self._converted(payload, types.kind, "")
        if types.adapted:
            for name in types.adapted:
                if name in arguments:
                    arguments[name] = self._read(arguments[name], Any, name, name)
        return {**arguments, **extra} if extra else arguments

    def _rest(self, payload: Mapping[str, object]) -> dict[str, object]:
        """Those of the arguments that no parameter is named for, which `**rest` takes."""
        types = self._types
        unknown = [name for name in payload if name not in types.hints]
        for name in unknown:
            if name in self._not_sent:
                what = self._not_sent[name]
                raise PayloadError(
                    f"{self._task}: {name} is {what}, which no message gives", field=name, hint=self._hint
                )
        if types.of_open is None:
            # From outside, and perhaps as long as the body: the nearest one to a long text takes long to find.
            first = shortened(unknown[0], NAME_CHARS)
            raise PayloadError(
                f"{self._task} has no parameter {first!r}: {nearest(first, types.hints)}",
                field=first,
                hint=self._hint,
            )
        return {name: self._read(payload[name], types.open_kind, name, "") for name in unknown}

    def _read(self, value: object, kind: Any, within: str, adapter: str) -> Any:
        try:
            return self._types.read(adapter, self._converted(value, kind, within))
        except ValueError as error:
            complaint = first_error(error)
            path, text = (within + Adapter.within(complaint[0]), complaint[1]) if complaint else (within, str(error))
            raise PayloadError(f"{self._task}: {path}: {text}", field=path, hint=self._hint) from error

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
    def _types(self) -> ParameterTypes:
        parameters = [*self._named.values(), *([] if self._open is None else [self._open])]
        hints = resolved(self._function, parameters, self._task)
        for name, hint in hints.items():
            if is_marked(hint):
                raise TaskDefinitionError(
                    f"{name!r} of task {self._task!r} is a dependency, and its annotation could not be read where the "
                    "task is declared",
                    hint="define the names in it above the task",
                )
        declared = {p.name: hints.get(p.name, Any) for p in self._named.values()}
        required = {p.name for p in self._named.values() if p.default is p.empty}
        of_open = None if self._open is None else hints.get(self._open.name, Any)
        if get_origin(of_open) is Unpack:  # **kwargs: Unpack[SomeTypedDict], which has names of its own
            [of_open] = get_args(of_open)
            for name, hint in field_hints(of_open).items():
                if name in self._not_sent:
                    raise TaskDefinitionError(
                        f"{name!r} of the open-ended parameter of task {self._task!r} is the name of "
                        f"{self._not_sent[name]}, too",
                        hint="rename one of them",
                    )
                # Where annotations are texts, __required_keys__ goes by the class alone (Python's documentation).
                declared[name], said = key_of(hint)
                if (name in of_open.__required_keys__) if said is None else said:
                    required.add(name)
            of_open = None
        return ParameterTypes(declared, required, of_open, self._task)

    def _converted(self, value: object, kind: Any, within: str) -> Any:
        try:
            return msgspec.convert(value, kind, str_keys=True, dec_hook=read_value)
        except msgspec.ValidationError as error:
            text, field = _described(error, within)
            where = f"{self._task}: {field}: " if field else f"{self._task}: "
            raise PayloadError(where + text, field=field or None, hint=self._hint) from error


def _described(error: msgspec.ValidationError, within: str) -> tuple[str, str]:
    """What msgspec or pydantic says without its path, and the path as `a.b[0]`."""
    text = str(error)
    path = ""
    if match := _PATH.search(text):
        path, text = match["path"], text[: match.start()]
    if match := _MISSING.search(text):
        path += "." + match["name"]
        text = "is missing"
    if text.startswith(_ENUM):
        text = _ENUM  # msgspec shows the value, which is the payload's and no log's
    if complaint := first_error(error.__cause__):
        path, text = path + complaint[0], complaint[1]
    return text, (within + path).lstrip(".")


def _a(kind: str) -> str:
    """A type's name with its article."""
    if kind == "nothing":
        return kind
    return f"{'an' if kind[:1] in 'aeiouAEIOU' else 'a'} {kind}"
