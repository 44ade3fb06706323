"""What is kept in memory, and for how long."""

from __future__ import annotations

from cloudq.core.driver import (
    Release,
)
from cloudq.drivers.memory.store import SENT_KEPT
from tests.unit.drivers.memory.bench import MINUTE, ZERO, driver_with, item, leased, receive, send, settle


def test_the_log_is_bounded() -> None:
    """A process that sends for ever doesn't keep every body."""
    driver = driver_with(max_batch=SENT_KEPT + 5)
    send(driver, *(item(str(number)) for number in range(SENT_KEPT + 5)))
    assert len(driver.sent) == SENT_KEPT
    assert driver.sent[-1].id == str(SENT_KEPT + 4)


def test_attempts_are_deliveries_where_they_are_not_exact() -> None:
    """With `attempt_exact` false a release gives no attempt back."""
    for exact, expected in ((False, 2), (True, 1)):
        driver = driver_with(attempt_exact=exact, native_retry_delay=ZERO)
        settle(driver, leased(driver), Release(counted=False))
        (again,) = receive(driver)
        assert (again.attempt, again.deliveries) == (expected, 2)


def test_without_a_window_every_native_id_is_new() -> None:
    """With `deduplication` None nothing is a duplicate, and the driver doesn't claim to know."""
    driver = driver_with()
    results = driver.send([item(native_id="a"), item("2", native_id="a")])
    assert [(result.error, result.duplicate) for result in results] == [(None, None)] * 2
    assert driver.stats("q").ready == 2


def test_a_duplicate_names_the_original() -> None:
    """With a window, the second of one native id says whose it was."""
    driver = driver_with(deduplication=MINUTE)
    results = driver.send([item("first", native_id="a"), item("second", native_id="a")])
    assert [(result.duplicate, result.original_id) for result in results] == [(False, None), (True, "first")]


def test_ended_windows_are_forgotten() -> None:
    """The memory of native ids doesn't grow without end."""
    driver = driver_with(deduplication=MINUTE)
    for number in range(5):
        send(driver, item(native_id=str(number)))
        driver._clock.advance(MINUTE)
    send(driver, item(native_id="last"))
    assert list(driver._shelf("q").seen) == ["last"]
