"""`Holder`: what keeps a send until a transaction is committed that isn't a task's own, as a web framework's is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from msgspec.structs import asdict

from cloudq.core.message import Message
from cloudq.errors import OptionError

if TYPE_CHECKING:
    from cloudq.outbox.writing import NewRow
    from cloudq.tasks.sent import Sent


class Unheld(Message, frozen=True, kw_only=True):
    """A message that no transaction holds: its send said `on_commit=False`, or the transaction is committed."""


class RunNow(Protocol):
    """One message whose task is run at once, in place of being stored."""

    def run(self) -> None:
        """Runs it here. Raises what the task raises."""
        ...

    async def arun(self) -> None:
        """As `run`, for async code."""
        ...


class Ways(NamedTuple):
    """How an app's messages leave.

    Attributes:
        row: Encodes and signs one for an outbox. Refuses what its queue can't take.
        namespace: The outbox's.
        eager_run: Runs one at once, where the app does that in place of sending; else `None`.
        store: Stores one now, where no relay could reach the backend; else `None`.
        send: Sends them, outside of any transaction; gives a `Sent` or an error for each, in order.
    """

    row: Callable[[Message], NewRow]
    namespace: str
    eager_run: Callable[[Message], RunNow] | None
    store: Callable[[Message], object] | None
    send: Callable[[Sequence[Message]], Sequence[Sent | Exception]]


class Holder(ABC):
    """An open transaction that keeps what is sent within it: see `AppRuntime.open_transaction`."""

    @abstractmethod
    def hold(self, messages: Sequence[Message], ways: Ways) -> list[Sent] | None:
        """Has the messages leave once the transaction is committed, and never if it is rolled back.

        Returns:
            A `Sent` for each; `None`: no transaction is open after all, and they are to be sent now.

        Raises:
            Exception: They can't be kept. Nothing will be sent.
        """

    async def ahold(self, messages: Sequence[Message], ways: Ways) -> list[Sent] | None:
        """As `hold`, for async code."""
        return self.hold(messages, ways)


def check_on_commit(options: Mapping[str, object]) -> None:
    """Refuses an `on_commit` that is neither true nor false.

    Raises:
        OptionError: It is something else.
    """
    if not isinstance(options.get("on_commit", True), bool):
        raise OptionError(f"on_commit is a bool, not {options['on_commit']!r}", hint="on_commit=False sends at once")


def unheld(message: Message) -> Unheld:
    """The same message, which no transaction holds."""
    return Unheld(**asdict(message))


def all_unheld(messages: Sequence[Message]) -> bool:
    """Whether no transaction holds these; they leave by one way.

    Raises:
        OptionError: Some are to be held, and some aren't.
    """
    those = sum(isinstance(message, Unheld) for message in messages)
    if those not in {0, len(messages)}:
        raise OptionError(
            "some of these calls say on_commit=False, and some don't, while a transaction is open",
            hint="send them by two calls of send_many",
        )
    return bool(those)
