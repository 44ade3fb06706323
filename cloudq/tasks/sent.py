"""`Sent`: what a send gives back."""

from __future__ import annotations

from collections.abc import Coroutine
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar, overload

import msgspec

from cloudq.errors import UnsupportedError
from cloudq.tasks import foreign_words
from cloudq.tasks.foreign_words import no_attribute

if TYPE_CHECKING:
    # So that a bare `Sent` says "of anything", also to a strict type checker. At run time no such package is needed.
    from typing_extensions import TypeVar as _TypeVar

    R_co = _TypeVar("R_co", covariant=True, default=Any)
else:
    R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")

PATIENCE: Final = timedelta(minutes=1)
_READER: Final = "_reader"


class ResultReader(Protocol):
    """Where the results of an app's tasks are."""

    def value(self, id_: str, timeout: timedelta) -> Any:
        """Waits for a message's task to be done, and gives what it returned."""
        ...

    async def avalue(self, id_: str, timeout: timedelta) -> Any:
        """As `value`, for async code."""
        ...


class Sent(msgspec.Struct, Generic[R_co], frozen=True, kw_only=True):
    """A message that is stored, or will be once a transaction is committed.

    Attributes:
        id: The message's id; for a duplicate, the id of the message that was stored first, if the backend says it.
        duplicate: Whether the idempotency key was known already, so that nothing new was stored; `None` where the
            backend doesn't say.
        receipt: A text for `cancel`, here or in any other process of the app; store it where you need it. `None` if the
            message can't be cancelled: its backend can't cancel, or only delayed messages, or it was a duplicate.
        stored: Whether something else than this process keeps the message: the backend, or the outbox in the
            transaction that is open. `False`: it waits here for the commit of a transaction of Django's, and is lost
            if the process dies between that and its sending.
    """

    id: str
    duplicate: bool | None = None
    receipt: str | None = None
    stored: bool = True

    if not TYPE_CHECKING:  # else every attribute would have a type

        def __getattr__(self, name):
            """Raises an AttributeError, which names our word if other task queues have one of that name."""
            raise no_attribute(self, name, foreign_words.SENT)

    @overload
    def result(self: Sent[Coroutine[Any, Any, T]], timeout: timedelta = PATIENCE) -> T: ...
    @overload
    def result(self, timeout: timedelta = PATIENCE) -> R_co: ...
    def result(self, timeout: timedelta = PATIENCE) -> Any:
        """What the task returned, once it is done. Waits for that, with a look at the store every second or sooner.

        The task has to be declared with `keep_result`. In async code: `await sent.aresult()`.

        Args:
            timeout: How long to wait; default: a minute.

        Raises:
            ResultTimeout: It isn't done yet. It goes on all the same.
            NoResult: It is dead, expired, was cancelled, or is done and its result wasn't kept.
            UnsupportedError: The app has no store, or this was unpickled: see `cloudq.result`.
            StoreUnavailable: The store can't be reached.
            PayloadError: What was kept doesn't fit the type that the task declares here.
        """
        return self._its_reader().value(self.id, timeout)

    @overload
    async def aresult(self: Sent[Coroutine[Any, Any, T]], timeout: timedelta = PATIENCE) -> T: ...
    @overload
    async def aresult(self, timeout: timedelta = PATIENCE) -> R_co: ...
    async def aresult(self, timeout: timedelta = PATIENCE) -> Any:
        """As `result`, for async code on asyncio or trio: the loop is never blocked."""
        return await self._its_reader().avalue(self.id, timeout)

    def _its_reader(self) -> ResultReader:
        raise UnsupportedError(
            "of this message no result is kept that is known here",
            hint="@task(keep_result=timedelta(hours=1)); of one that was pickled: cloudq.result(sent.id)",
        )


class _Readable(Sent[Any], frozen=True, kw_only=True, dict=True):
    """One that knows where its result will be, and is the same value in all else.

    Not so every `Sent`: with a `__dict__` each is looked at whenever garbage is looked for, and a program may have
    many. That made a batch of sends cost a fifth more.
    """

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sent) and msgspec.structs.astuple(self) == msgspec.structs.astuple(other)

    def __hash__(self) -> int:
        return hash(_plain(self))

    def __repr__(self) -> str:
        return repr(_plain(self))

    def __reduce__(self) -> str | tuple[Any, ...]:
        return _plain(self).__reduce__()

    def _its_reader(self) -> ResultReader:
        reader: ResultReader = self.__dict__[_READER]
        return reader


def read_by(sent: Sent[Any], reader: ResultReader) -> Sent[Any]:
    """The same value, which now knows where its result will be. That is no part of it: neither equal nor pickled."""
    readable = _Readable(id=sent.id, duplicate=sent.duplicate, receipt=sent.receipt, stored=sent.stored)
    readable.__dict__[_READER] = reader
    return readable


def _plain(sent: Sent[Any]) -> Sent[Any]:
    return Sent(id=sent.id, duplicate=sent.duplicate, receipt=sent.receipt, stored=sent.stored)
