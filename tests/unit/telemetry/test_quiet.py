"""A block whose calls OpenTelemetry's instrumentations don't see."""

from __future__ import annotations

from opentelemetry import context
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from cloudq.telemetry.quiet import UntracedCalls


def test_instrumentations_are_off_within_the_block() -> None:
    """Asked as they ask."""
    seen = [is_instrumentation_enabled()]
    with UntracedCalls():
        seen.append(is_instrumentation_enabled())
        with UntracedCalls():
            seen.append(is_instrumentation_enabled())
        seen.append(is_instrumentation_enabled())
    assert [True, False, False, False, True] == [*seen, is_instrumentation_enabled()]


def test_all_else_of_the_context_stays() -> None:
    """The span that is the current one, say."""
    token = context.attach(context.set_value("tenant", "7"))
    try:
        with UntracedCalls():
            assert "7" == context.get_value("tenant")
    finally:
        context.detach(token)
