"""Rows that another program changed: they end as dead letters, and stop nothing."""

import sqlite3
from contextlib import contextmanager
from datetime import timedelta

import pytest

from cloudq import App
from cloudq.core import wire
from cloudq.core.driver import Ack, Final, NativeDeadLetter
from cloudq.core.failure import Failure
from cloudq.core.message import Message
from cloudq.core.outcome import Acked, DeadLettered
from cloudq.core.processor import Processor
from cloudq.errors import CloudqError

SECOND = timedelta(seconds=1)
NOT_UTF8 = "CAST(x'ff' AS TEXT)"
# By column, in SQL: what takes the place of our own value.
MESSAGES = {
    "id": ["x'ff'", NOT_UTF8, "x'61'"],
    "group_key": ["x'ff'", NOT_UTF8],
    "due_at": ["'soon'", "x'00'", "1.5"],
    "visible_at": ["'now'", "x'00'", "1.5", "''", "-9e999"],
    "boot": ["'x'", "x'00'"],
    "deliveries": ["'x'", "x'00'", "2.5", "9e999", "9223372036854775807", "-3"],
    "runs": ["'x'", "x'00'", "2.5", "9e999", "9223372036854775807"],
    "first_received_at": ["'x'", "x'00'", "1.5", "9223372036854775807", "-9223372036854775807"],
    "failure": ["5", "1.5", '\'{"reason":"by hand"}\'', "'no JSON'", NOT_UTF8],
    "body": ["'{}'", "5", "1.5", NOT_UTF8],
}
DEAD = {
    "id": MESSAGES["id"],
    "group_key": MESSAGES["group_key"],
    "dead_at": ["'x'", "x'00'", "1.5", "9223372036854775807"],
    "visible_at": ["'x'", "x'00'"],
    "lease_end": ["'x'", "x'00'"],
    "boot": ["'x'", "x'00'"],
    "deliveries": MESSAGES["deliveries"],
    "runs": MESSAGES["runs"],
    "first_received_at": MESSAGES["first_received_at"],
    "failure": MESSAGES["failure"],
    "body": MESSAGES["body"],
}


def change(bench, sql):
    connection = sqlite3.connect(bench.path)
    connection.execute(sql)
    connection.commit()
    connection.close()


def pairs(values):
    return [(column, value) for column, each in values.items() for value in each]


@contextmanager
def answered():
    """What is asked of the driver raises nothing, whatever is in its rows."""
    try:
        yield
    except (TypeError, ValueError, OverflowError, CloudqError) as error:
        pytest.fail(f"a changed row stopped it: {error!r}")


@pytest.mark.parametrize("leased", [False, True])
@pytest.mark.parametrize(("column", "value"), pairs(MESSAGES))
def test_a_changed_row_stops_no_queue(bench, driver, column, value, leased):
    """Each is handed over, the others once, and can be put away; whatever is asked meanwhile is answered."""
    bench.send(driver, "bad")
    if leased:
        bench.receive(driver)
    bench.send(driver, "good")
    change(bench, f"UPDATE message SET {column} = {value} WHERE seq = 1")  # noqa: S608 - the table above
    seen = {}
    with answered():
        for _ in range(5):
            driver.stats("q")
            for one in bench.receive(driver):
                seen[one.raw] = one
                step = NativeDeadLetter(failure=Failure(reason="x")) if one.message is None else Ack()
                assert [None] == bench.settle(driver, step, one)
            bench.clock.advance(timedelta(minutes=2))
    assert ({1, 2}, 1) == (set(seen), seen[2].deliveries)
    assert seen[1].attempt >= 1
    assert 2 == len(driver.dead_letters("q").peek(limit=9))
    assert (0, 2) == (driver.stats("q").ready, driver.stats("q").dead)


@pytest.mark.parametrize(("column", "value"), pairs(DEAD))
def test_a_changed_dead_letter_hides_no_other(bench, driver, column, value):
    """All are listed, found, taken and deleted, it included."""
    bench.send(driver, "bad", "good")
    bench.settle(driver, NativeDeadLetter(failure=Failure(reason="x")), *bench.receive(driver))
    change(bench, f"UPDATE dead SET {column} = {value} WHERE seq = 1")  # noqa: S608 - the table above
    dead = driver.dead_letters("q")
    with answered():
        assert ["1", "2"] == [letter.key for letter in dead.peek(limit=9)]
        assert dead.get("1").body
        taken = dead.take(None, limit=9, lease=SECOND)
    assert [1, 2] == [one.raw for one in taken]
    assert [None, None] == [r.error for r in dead.settle([Final(lease=one.lease, step=Ack()) for one in taken])]


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("body", "CAST(body AS TEXT)", "body is text"),
        ("body", "5", "body is an integer"),
        ("id", "x'ff'", "id is a blob"),
        ("first_received_at", "'x'", "first_received_at is text"),
    ],
)
def test_it_ends_as_a_letter_that_says_why(bench, driver, column, value, told):
    """It never runs, and its bytes stay; a redrive sends them as we store them."""
    app = App()
    ran = []

    @app.task("t")
    def t() -> None:
        ran.append(1)

    body = wire.encode(Message(id="m", task="t", queue="q", sent_at=bench.clock.now()))
    bench.send(driver, "m", body=body)
    bench.receive(driver)  # so that the moment of the first one is of use
    bench.clock.advance(timedelta(minutes=2))
    change(bench, f"UPDATE message SET {column} = {value}")  # noqa: S608 - the table above
    processor = Processor(app.runtime.handlers, clock=bench.clock)
    (one,) = bench.receive(driver)
    outcome = processor.process(one)
    assert isinstance(outcome, DeadLettered)
    assert "undecodable: the row in the database was changed by another program" in outcome.reason
    assert told in outcome.reason
    assert [None] == bench.settle(driver, NativeDeadLetter(failure=outcome.failure), one)
    with app.using(driver, clock=bench.clock):
        (letter,) = app.queue("q").dead_letters
        assert outcome.reason == letter.failure.reason
        if value == "5":
            assert b"5" == letter.body
            return
        assert body == letter.body
        assert 1 == app.queue("q").dead_letters.redrive([letter.key]).redriven
    assert [] == ran
    assert isinstance(processor.process(*bench.receive(driver)), Acked)
    assert [1] == ran
