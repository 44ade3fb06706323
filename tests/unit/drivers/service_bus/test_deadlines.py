"""A call's deadline is known to all that it calls, and to threads that it is handed to."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

import pytest
from azure.servicebus._transport._pyamqp_transport import PyamqpTransport

from cloudq.drivers.service_bus import deadlines

MINUTE = timedelta(minutes=1)
ZERO = timedelta(0)


def test_nobody_has_to_name_one() -> None:
    """Where there is no call, a read takes no longer than the default."""
    assert deadlines.DEFAULT == deadlines.left()
    assert not deadlines.passed()


def test_the_earliest_counts() -> None:
    """What is called within a call can only have less time than that."""
    with deadlines.within(MINUTE):
        with deadlines.within(10 * MINUTE):
            assert ZERO < deadlines.left() <= MINUTE
        with deadlines.within(MINUTE / 2):
            assert deadlines.left() <= MINUTE / 2
        assert MINUTE / 2 < deadlines.left()
    assert deadlines.current() is None


def test_a_deadline_that_has_passed() -> None:
    """Who asks what is left is told that nothing is."""
    with deadlines.within(ZERO):
        assert deadlines.passed()
        with pytest.raises(TimeoutError):
            deadlines.left()


def test_the_sdk_hands_it_on_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    """It stays the error it is: azure-servicebus 7.15 logs a traceback for each error that is none of its own."""
    with deadlines.within(ZERO), pytest.raises(TimeoutError) as raised:
        deadlines.left()
    logger = logging.getLogger("azure.servicebus")
    assert PyamqpTransport.create_servicebus_exception(logger, raised.value) is raised.value
    assert caplog.text == ""


def test_a_deadline_is_handed_to_another_thread() -> None:
    """A thread that carries out another's call ends by its deadline; of itself it knows none."""
    seen: list[timedelta | None] = []

    def work(moment: timedelta | None) -> None:
        seen.append(deadlines.current())
        with deadlines.until(moment):
            seen.append(deadlines.current())

    with deadlines.within(MINUTE):
        moment = deadlines.current()
        thread = threading.Thread(target=work, args=(moment,))
        thread.start()
        thread.join(60)
    assert [None, moment] == seen
