"""`TracedProcessor`: a Processor each of whose runs is a part of a trace."""

from __future__ import annotations

from datetime import timedelta
from threading import Event
from typing import Any

from cloudq.core.delivery import Delivery
from cloudq.core.outcome import Outcome
from cloudq.core.processor import ContextT, Processor
from cloudq.core.run_fields import RunFields
from cloudq.core.tracing import Tracing


class TracedProcessor(Processor[ContextT]):
    """As `Processor`, which knows nothing of traces, so that it costs nothing where nobody traces.

    Args:
        tracing: Makes the spans.
        settings: All else is the Processor's.
    """

    def __init__(self, *args: Any, tracing: Tracing, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._tracing = tracing

    def run_fields(self, delivery: Delivery) -> RunFields:
        """As the Processor's, and the ids of the span: the trace is that of the run, whatever the message says."""
        fields = super().run_fields(delivery)
        fields.update(self._tracing.ids())
        return fields

    def process(
        self, delivery: Delivery, *, lease_lost: Event | None = None, until: timedelta | None = None
    ) -> Outcome:
        """As the Processor's."""
        with self._tracing.running(delivery) as run:
            outcome = super().process(delivery, lease_lost=lease_lost, until=until)
            run.ended(outcome)
            return outcome

    async def aprocess(
        self, delivery: Delivery, *, lease_lost: Event | None = None, until: timedelta | None = None
    ) -> Outcome:
        """As the Processor's."""
        with self._tracing.running(delivery) as run:
            outcome = await super().aprocess(delivery, lease_lost=lease_lost, until=until)
            run.ended(outcome)
            return outcome
