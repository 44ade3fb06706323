"""`EagerResult`: what a task returned that ran at once, as one that a worker ran would be read from the store."""

from __future__ import annotations

from datetime import timedelta
from threading import Event
from typing import TYPE_CHECKING, Any

from cloudq.core.outcome import Acked
from cloudq.errors import NoResult
from cloudq.tasks.result_type import NotKept

if TYPE_CHECKING:
    from cloudq.core.claiming import Claimer
    from cloudq.core.delivery import Delivery
    from cloudq.core.message import Message
    from cloudq.core.outcome import DeadLettered, Expired, Outcome
    from cloudq.tasks.definition import Definition


class EagerResult:
    """Stands where a worker has its store, for one run: keeps its result in this process. A `Claims` and its `Begun`.

    Args:
        definition: The task's.
        convert_untyped: Whether a value that nothing declares may come back as JSON's form of it.
    """

    claim = None
    run = None

    def __init__(self, definition: Definition, *, convert_untyped: bool) -> None:
        self._definition = definition
        self._convert_untyped = convert_untyped
        self._kept: bytes | str = "it hasn't run"

    def value(self, id_: str, timeout: timedelta) -> Any:
        """What the task returned.

        Raises:
            NoResult: It wasn't kept.
        """
        del id_, timeout  # it has ended: a send runs it
        if isinstance(self._kept, str):
            raise NoResult(f"task {self._definition.name} succeeded: {self._kept}", "succeeded")
        return self._definition.result_type.read(self._kept)

    async def avalue(self, id_: str, timeout: timedelta) -> Any:
        """As `value`, for async code."""
        return self.value(id_, timeout)

    def concerns(self, handler: Claimer, message: Message) -> bool:
        """The one run that there is."""
        del handler, message
        return True

    def begin(
        self, handler: Claimer, message: Message, delivery: Delivery, lease_lost: Event, until: timedelta | None
    ) -> EagerResult:
        """Claims nothing."""
        del handler, message, delivery, lease_lost, until
        return self

    def unclaimed(self, handler: Claimer, message: Message) -> bool:
        """No store is down here."""
        del handler, message
        return False

    def unrun(self, message: Message, outcome: DeadLettered | Expired) -> None:
        """The send raises it."""

    def reachable(self) -> bool:
        """There is nothing to reach."""
        return True

    def end(self, outcome: Outcome, result: object) -> Outcome:
        """Keeps what the task returned."""
        if isinstance(outcome, Acked):
            try:
                self._kept = self._definition.result_type.write(result, convert_untyped=self._convert_untyped)
            except NotKept as error:
                self._kept = str(error)
        return outcome

    def give_up(self) -> None:
        """The send raises what interrupted it."""
