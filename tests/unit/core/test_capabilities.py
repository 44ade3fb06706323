"""What a queue can do, as data that is compared, replaced and never changed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from cloudq.core.capabilities import CALL_TIMEOUT, Cancels, Capabilities, Refusal, Words

ABLE = Capabilities(max_batch=10, max_body=1_000)


def test_what_is_not_said_is_what_every_backend_can() -> None:
    """A lease can be extended and a queue is shared; nothing is native, and nothing is refused in words of its own."""
    assert (ABLE.extendable, ABLE.copies, ABLE.shared, ABLE.interruptible) == (True, True, True, True)
    assert (ABLE.native_dead_letter, ABLE.native_retry_delay, ABLE.ordering) == (False, None, False)
    assert (ABLE.cancels, ABLE.cancel_notice) == (Cancels.NOTHING, timedelta(0))
    assert {} == dict(ABLE.refusals)


def test_three_calls_fit_into_the_default_deadline() -> None:
    """One call takes 5 seconds at most, a whole operation 15."""
    assert timedelta(seconds=5) == CALL_TIMEOUT == ABLE.call_timeout


def test_an_edge_narrows_a_copy() -> None:
    """Whoever can do less by itself says so without changing what the driver said."""
    narrowed = replace(ABLE, extendable=False, refusals={Refusal.SEND: Words("is closed", hint="wait")})
    assert (ABLE.extendable, narrowed.extendable) == (True, False)
    assert ("is closed", "wait") == (narrowed.refusals[Refusal.SEND].why, narrowed.refusals[Refusal.SEND].hint)
    with pytest.raises(AttributeError):
        ABLE.extendable = False  # type: ignore[misc]  # that's the point
