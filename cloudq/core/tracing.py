"""`Tracing`: how sends and runs become parts of traces. What implements it is in `cloudq.telemetry`.

```
 send ─▶ sending(messages) ─ the trace's context joins their headers ─▶ stored ... handed over ─▶ running(delivery)
              └ current while they are stored                                          └ current while its task runs
```
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from cloudq.core.delivery import Delivery
    from cloudq.core.message import Message
    from cloudq.core.outcome import Outcome

Quiet: TypeAlias = "Callable[[], AbstractContextManager[object]]"
"""Makes a block in which those that trace an SDK's calls see none: they are told already."""


class TracedRun(Protocol):
    """One delivery's part of a trace, while it is worked on."""

    def ended(self, outcome: Outcome) -> None:
        """Notes what becomes of the delivery. Not called where the run was interrupted."""
        ...


class Tracing(Protocol):
    """Makes spans. Its methods must not raise, and may be called from several threads at once."""

    @property
    def quiet(self) -> Quiet | None:
        """For calls that a driver makes by an SDK; `None`: those that trace it may see them."""
        ...

    def opened(self, system: str, server: str | None) -> None:
        """As `Observer.opened`."""
        ...

    def ids(self) -> Mapping[str, str]:
        """What log lines carry of the span that is the current one: `trace_id` and `span_id`, in hexadecimal."""
        ...

    def sending(self, messages: Sequence[Message]) -> AbstractContextManager[Sequence[Message]]:
        """A block in which these are stored: it gives the messages to store, with the trace's context in their headers.

        What leaves the block as an exception is why they weren't stored.
        """
        ...

    def running(self, delivery: Delivery) -> AbstractContextManager[TracedRun]:
        """A block in which a delivery is worked on, in the thread or the coroutine that runs its task."""
        ...
