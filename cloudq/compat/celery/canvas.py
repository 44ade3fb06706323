"""`Signature`: a call of one task that is sent later; and the canvas, whose parts are refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from cloudq.compat.celery.contracts import Runnable
from cloudq.compat.celery.result import AsyncResult, EagerResult
from cloudq.errors import UnsupportedError


class Signature:
    """A task, arguments and options. Arguments of the call go before its own, unless it is immutable.

    Args:
        task: The task.
        args: Arguments by position.
        kwargs: Arguments by name.
        options: As of `apply_async`.
        immutable: Whether it takes no more arguments.
    """

    def __init__(
        self,
        task: Runnable,
        args: Sequence[Any] | None = (),
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        immutable: bool = False,
    ) -> None:
        self.type = task
        self.args = tuple(args or ())
        self.kwargs = dict(kwargs or {})
        self.options = dict(options or {})
        self.immutable = immutable

    def __repr__(self) -> str:
        """The task's name; not the arguments, which may hold what no log should."""
        return f"<Signature: {self.task}>"

    @property
    def task(self) -> str:
        """The task's name."""
        return self.type.name

    name = task

    def clone(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> Signature:
        """The same with more arguments and options."""
        if self.immutable:
            args, kwargs = None, None
        return Signature(
            self.type,
            (*(args or ()), *self.args),
            {**self.kwargs, **(kwargs or {})},
            {**self.options, **options},
            immutable=self.immutable,
        )

    partial = clone

    def set(self, immutable: bool | None = None, **options: Any) -> Signature:
        """Sets options of this one."""
        self.immutable = self.immutable if immutable is None else immutable
        self.options.update(options)
        return self

    def delay(self, *args: Any, **kwargs: Any) -> AsyncResult | EagerResult:
        """Sends it."""
        return self.apply_async(args, kwargs)

    def apply_async(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncResult | EagerResult:
        """Sends it with options, which go before its own; `None` is none."""
        call = self.clone(args, kwargs, **_given(options))
        sent: AsyncResult | EagerResult = call.type.apply_async(call.args, call.kwargs, **call.options)
        return sent

    def apply(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> EagerResult:
        """Runs it here and now."""
        call = self.clone(args, kwargs, **_given(options))
        ran: EagerResult = call.type.apply(call.args, call.kwargs, **call.options)
        return ran

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the function here and now."""
        call = self.clone(args, kwargs)
        return call.type(*call.args, **call.kwargs)

    def __or__(self, other: object) -> NoReturn:
        """A chain, which is refused."""
        chain()

    if not TYPE_CHECKING:  # else every attribute would have a type

        def __getattr__(self, name):
            """Raises an AttributeError that says what to do instead."""
            if name.startswith("_"):
                raise AttributeError(name)
            raise AttributeError(f"a Signature has no {name!r} here; hint: {_INSTEAD}", name=name, obj=self)


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


_INSTEAD = "a task that is done sends the next one; many calls go by app.cloudq.send_many([...])"


def _refuse(name: str) -> NoReturn:
    raise UnsupportedError(f"Celery's {name} can't be honoured: there is no canvas", hint=_INSTEAD)


def chain(*_: object, **__: object) -> NoReturn:
    """Refused by its name.

    Raises:
        UnsupportedError: Always.
    """
    _refuse("chain")


def group(*_: object, **__: object) -> NoReturn:
    """Refused by its name.

    Raises:
        UnsupportedError: Always.
    """
    _refuse("group")


def chord(*_: object, **__: object) -> NoReturn:
    """Refused by its name.

    Raises:
        UnsupportedError: Always.
    """
    _refuse("chord")


def chunks(*_: object, **__: object) -> NoReturn:
    """Refused by its name.

    Raises:
        UnsupportedError: Always.
    """
    _refuse("chunks")


def xmap(*_: object, **__: object) -> NoReturn:
    """Refused by its name.

    Raises:
        UnsupportedError: Always.
    """
    _refuse("xmap")


def xstarmap(*_: object, **__: object) -> NoReturn:
    """Refused by its name.

    Raises:
        UnsupportedError: Always.
    """
    _refuse("xstarmap")
