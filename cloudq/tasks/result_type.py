"""`ResultType`: what a task returns, as JSON and back: the value that was returned is read again, or none is kept."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cached_property
from typing import Any, Final

import msgspec

from cloudq.core.failure import words_of
from cloudq.core.run_life import LARGEST_RESULT
from cloudq.errors import TaskDefinitionError
from cloudq.tasks.binding import Parameters
from cloudq.tasks.hints import resolved

_NAME: Final = "result"
_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder()


class NotKept(Exception):
    """A result isn't kept. Its text says why, without the value."""


class ResultType:
    """The type that a task's function declares for what it returns, resolved at the first use.

    A result goes the way of a payload with one argument: what is refused there isn't kept here.

    Args:
        function: The task's function.
        task: The task's name, for messages.
    """

    def __init__(self, function: Callable[..., object], task: str) -> None:
        self._function = function
        self._task = task

    def check(self) -> None:
        """Resolves the type now.

        Raises:
            TaskDefinitionError: A name in the annotation doesn't exist, or the type can't travel as JSON.
        """
        try:
            self._parameters.check_types()
        except TaskDefinitionError as error:
            raise TaskDefinitionError(
                error.message.replace(f"parameter {_NAME!r} of task", "what is returned by task"),
                hint="another type, or no keep_result" if error.hint is None else error.hint,
            ) from error

    def write(self, result: object, *, convert_untyped: bool = False) -> bytes:
        """The result as JSON.

        Args:
            result: What the function returned.
            convert_untyped: Whether a value that nothing declares may come back as JSON's form of it.

        Raises:
            NotKept: It can't travel as JSON, would come back as something else, or is larger than `LARGEST_RESULT`.
        """
        try:
            payload = self._parameters.payload({_NAME: result}, convert_untyped=convert_untyped)
            text = _ENCODER.encode(payload[_NAME])
        except Exception as error:
            raise NotKept(f"result not kept: {words_of(error)}") from error
        if len(text) > LARGEST_RESULT:
            raise NotKept(
                f"result not kept: it has {len(text):,} bytes as JSON, and {LARGEST_RESULT:,} are kept at most"
            )
        return text

    def read(self, text: bytes) -> Any:
        """What the function returned.

        Raises:
            PayloadError: It doesn't fit the type that is declared here: another version of the program wrote it.
        """
        return self._parameters.arguments({_NAME: plain_result(text)})[_NAME]

    @cached_property
    def _parameters(self) -> Parameters:
        def take() -> None:
            """Stands for a function of one argument of that type."""

        hint = self._hint()
        parameter = inspect.Parameter(_NAME, inspect.Parameter.KEYWORD_ONLY, annotation=hint)
        take.__signature__ = inspect.Signature([parameter])  # type: ignore[attr-defined]  # `inspect` looks for it
        return Parameters(take, self._task)

    def _hint(self) -> Any:
        annotation = inspect.signature(self._function).return_annotation
        if annotation is inspect.Signature.empty:
            return Any
        stand_in = inspect.Parameter(_NAME, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)
        return resolved(self._function, [stand_in], self._task)[_NAME]


def plain_result(text: bytes) -> Any:
    """A result as JSON's own values, where its type isn't known."""
    return _DECODER.decode(text)
