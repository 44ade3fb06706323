"""What keeps a slot from looking for a session is said to whoever waits for one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from azure.servicebus import ServiceBusReceiver
from azure.servicebus.exceptions import ServiceBusConnectionError

from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.drivers.service_bus.locks import LockSpan
from cloudq.drivers.service_bus.sessions import Sessions
from cloudq.drivers.service_bus.slots import Slot
from cloudq.errors import ConfigurationError
from cloudq.testing.clock import FakeClock
from tests.unit.worker.fakes import until

LONG = timedelta(seconds=30)


def broken(wait: timedelta) -> ServiceBusReceiver:
    raise ConfigurationError("no credentials")


def sessions_of(make: Callable[[timedelta], Any], patience: timedelta = timedelta(seconds=5)) -> Sessions:
    clock = FakeClock()
    return Sessions(make, clock=clock, span=LockSpan(clock), patience=patience)


def idle_slot(sessions: Sessions) -> Slot:
    clock = FakeClock()
    return Slot(sessions, clock=clock, span=LockSpan(clock), patience=timedelta(seconds=5))


@contextmanager
def asked_before(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Slot, Future[Any]]]:
    """A slot that has asked for a session, and a receive that began later and waits for one. It starts no slots."""
    monkeypatch.setattr(Slot, "start", lambda slot: None)
    slot = idle_slot(sessions)
    sessions.receiver(slot)
    with ThreadPoolExecutor() as threads:
        receive = threads.submit(sessions.receive, 1, timedelta(0))
        while not sessions._wanted:
            assert not receive.done()
        yield slot, receive


def test_a_receiver_that_can_not_be_made_is_said() -> None:
    """At once, and by the error itself; no slot stays counted, however often it happens."""
    sessions = sessions_of(broken)
    began = time.monotonic()
    for _ in range(10):
        with pytest.raises(ConfigurationError, match="no credentials"):
            sessions.receive(5, LONG)
    assert time.monotonic() - began < 25
    sessions.close()
    assert sessions._seeking == 0
    assert not sessions._slots


def test_a_thread_that_can_not_be_started_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """And once there are threads again, slots are started as ever."""
    sessions = sessions_of(broken)

    def no_thread(slot: Slot) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Slot, "start", no_thread)
    for _ in range(10):
        with pytest.raises(RuntimeError, match="can't start"):
            sessions.receive(5, LONG)
    monkeypatch.undo()
    with pytest.raises(ConfigurationError):
        sessions.receive(5, LONG)
    sessions.close()


def test_a_refusal_of_what_was_asked_before_does_not_hide_what_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue was paused when a slot asked, and has been resumed since: the receive after it gets its message."""
    sessions = sessions_of(lambda wait: object())
    message: Any = object()
    with asked_before(sessions, monkeypatch) as (slot, receive):
        sessions.fail(slot, ConfigurationError("paused"))
        with pytest.raises(TimeoutError):
            receive.result(0.3)  # it goes on waiting
        other = idle_slot(sessions)
        assert sessions.offer(other, message)
        assert [(other, message)] == receive.result(30)


def test_a_refusal_of_what_was_asked_before_is_said_if_nothing_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may well hold still: else a service that refuses slowly would be taken for an empty queue."""
    sessions = sessions_of(lambda wait: object(), patience=timedelta(milliseconds=300))
    with asked_before(sessions, monkeypatch) as (slot, receive):
        sessions.fail(slot, ConfigurationError("paused"))
        with pytest.raises(ConfigurationError, match="paused"):
            receive.result(30)
    with asked_before(sessions, monkeypatch) as (_, receive):
        assert receive.result(30) == []  # said once: this one knows nothing of it


def test_that_there_is_none_outlives_a_refusal_of_what_was_asked_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service's newer word counts."""
    sessions = sessions_of(lambda wait: object(), patience=timedelta(milliseconds=300))
    with asked_before(sessions, monkeypatch) as (slot, receive):
        sessions.fail(slot, ConfigurationError("paused"))
        sessions.note_none_there()
        assert receive.result(30) == []


def test_what_is_asked_now_and_not_refused_outlives_a_refusal_of_what_was_asked_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The queue is resumed, and empty: the service waits with its answer for as long as the receive does."""
    sessions = sessions_of(lambda wait: object())
    with asked_before(sessions, monkeypatch) as (slot, receive):
        sessions.note_asked(idle_slot(sessions))
        sessions.fail(slot, ConfigurationError("paused"))
        assert receive.result(30) == []


def test_a_refusal_is_not_hidden_by_one_of_what_was_asked_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both come before the receive wakes, and the service has said since that there is none."""
    sessions = sessions_of(lambda wait: object())
    with asked_before(sessions, monkeypatch) as (slot, receive):
        other = idle_slot(sessions)
        sessions.receiver(other)
        with sessions._changed:  # which the receive needs
            sessions.note_none_there()
            sessions.fail(other, ConfigurationError("paused now"))
            sessions.fail(slot, ConfigurationError("paused before"))
        with pytest.raises(ConfigurationError, match="paused now"):
            receive.result(30)


def test_a_service_that_never_answers_is_not_taken_for_an_empty_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search begins a moment after its receive, and so does its patience: the receive waits for its end."""
    patience = timedelta(milliseconds=300)
    sessions = sessions_of(lambda wait: object(), patience=patience)
    slots: list[Slot] = []
    monkeypatch.setattr(Slot, "start", lambda slot: slots.append(slot))  # noqa: PLW0108 - bound as a method
    with ThreadPoolExecutor() as threads:
        began = SYSTEM_CLOCK.elapsed()
        receive = threads.submit(sessions.receive, 1, timedelta(0))
        until(lambda: slots)
        sessions.receiver(slots[0])
        until(lambda: SYSTEM_CLOCK.elapsed() - began > patience + timedelta(milliseconds=20))
        sessions.fail(slots[0], TimeoutError("no answer"))
        with pytest.raises(TimeoutError, match="no answer"):
            receive.result(30)


def test_a_service_that_is_asked_and_never_answers_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a search outlasts its receive, so another one hears of it. That the next search meets silence is no news."""
    sessions = sessions_of(lambda wait: object())
    with asked_before(sessions, monkeypatch) as (slot, receive):
        sessions.note_asked(slot)
        sessions.note_asked(idle_slot(sessions))
        silence = ServiceBusConnectionError(message="no answer")
        silence.__cause__ = TimeoutError()
        sessions.fail(slot, silence)
        with pytest.raises(ServiceBusConnectionError, match="no answer"):
            receive.result(30)


def test_a_session_that_somebody_else_got_outlives_a_refusal_of_what_was_asked_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its message went to another receive: the queue isn't paused."""
    sessions = sessions_of(lambda wait: object(), patience=timedelta(seconds=1))
    with asked_before(sessions, monkeypatch) as (slot, receive):
        other = idle_slot(sessions)
        sessions.note_asked(other)
        sessions.fail(slot, ConfigurationError("paused"))
        with pytest.raises(TimeoutError):
            receive.result(0.2)  # it has seen that
        sessions.end_seeking(other)
        assert receive.result(30) == []


def test_a_search_that_begins_late_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions are left to others for a second after one was given back unstarted."""
    sessions = sessions_of(lambda wait: object(), patience=timedelta(milliseconds=100))
    slots: list[Slot] = []
    monkeypatch.setattr(Slot, "start", lambda slot: slots.append(slot))  # noqa: PLW0108 - bound as a method
    sessions.step_back()
    with ThreadPoolExecutor() as threads:
        receive = threads.submit(sessions.receive, 1, timedelta(0))
        until(lambda: slots)
        sessions.receiver(slots[0])
        sessions.fail(slots[0], TimeoutError("no answer"))
        with pytest.raises(TimeoutError, match="no answer"):
            receive.result(30)
