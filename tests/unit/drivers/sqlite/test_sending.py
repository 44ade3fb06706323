"""What a send stores, and what it doesn't."""

import sqlite3
from datetime import timedelta

import pytest

from cloudq.core.driver import Ack, NativeDeadLetter, Release
from cloudq.core.failure import Failure
from cloudq.errors import BackendError, BackendUnavailable, MessageTooLarge, UnsupportedError
from cloudq.sqlite_file import connection

SECOND = timedelta(seconds=1)


def test_a_body_comes_back_byte_for_byte(bench, driver):
    """Any bytes are stored as they are."""
    body = bytes(range(256)) * 3
    bench.send(driver, "a", body=body)
    assert [body] == [one.body for one in bench.receive(driver)]


def test_other_processes_see_what_a_send_has_stored(bench, driver):
    """When send returns, the message is in the file."""
    bench.send(driver, "a")
    assert [("a", b"body of a")] == bench.query("SELECT id, body FROM message")


def test_a_known_native_id_is_not_stored_again(bench, driver):
    """Within the window the second send is a duplicate that names the first message; after it, it isn't."""
    first = driver.send([bench.item("first", native_id="n")])[0]
    second = driver.send([bench.item("second", native_id="n")])[0]
    assert (False, None) == (first.duplicate, first.original_id)
    assert (True, "first") == (second.duplicate, second.original_id)
    bench.clock.advance(timedelta(minutes=5))
    third = driver.send([bench.item("third", native_id="n")])[0]
    fourth = driver.send([bench.item("fourth", native_id="n")])[0]
    assert (False, None) == (third.duplicate, third.original_id)
    assert (True, "third") == (fourth.duplicate, fourth.original_id)
    assert ["first", "third"] == [one.id for one in bench.receive(driver)]


def test_a_native_id_is_known_within_one_batch(bench, driver):
    """Of two equal native ids in one batch the first is stored."""
    results = driver.send([bench.item("a", native_id="n"), bench.item("b"), bench.item("c", native_id="n")])
    assert [(False, None), (False, None), (True, "a")] == [(r.duplicate, r.original_id) for r in results]
    assert ["a", "b"] == [one.id for one in bench.receive(driver)]


def test_a_native_id_is_known_in_its_queue_only(bench, driver):
    """The same native id in another queue is another message."""
    bench.send(driver, "a", native_id="n")
    assert [False] == [r.duplicate for r in driver.send([bench.item("b", "other", native_id="n")])]


def test_a_native_id_outlives_its_message(bench, driver):
    """An acked message is still remembered."""
    bench.send(driver, "a", native_id="n")
    assert [None] == bench.settle(driver, Ack(), *bench.receive(driver))
    assert [True] == [r.duplicate for r in driver.send([bench.item("b", native_id="n")])]


def test_old_native_ids_are_forgotten(bench, driver):
    """What is past its window is deleted, so that the table doesn't grow for ever."""
    driver.send([bench.item(f"a{n}", native_id=f"n{n}") for n in range(500)])
    bench.clock.advance(timedelta(minutes=6))
    bench.send(driver, "b", native_id="new")
    assert [("new",)] == bench.query("SELECT native_id FROM dedup")


def test_without_a_window_nothing_is_remembered(bench):
    """A window of zero means no de-duplication, and the capabilities say so."""
    driver = bench.open(dedup_window=timedelta(0))
    assert driver.capabilities("q").deduplication is None
    results = driver.send([bench.item("a", native_id="n"), bench.item("b", native_id="n")])
    assert [False, False] == [r.duplicate for r in results]


def test_a_body_that_is_too_large_fails_alone(bench):
    """A body beyond the limit and its reserve is MessageTooLarge; the others of its batch are stored."""
    driver = bench.open(max_body=1000)
    fits, too_large = b"x" * (1000 + 16 * 1024), b"x" * (1000 + 16 * 1024 + 1)
    results = driver.send([bench.item("a", body=fits), bench.item("b", body=too_large), bench.item("c")])
    assert [type(None), MessageTooLarge, type(None)] == [type(r.error) for r in results]
    assert ["a", "c"] == [one.id for one in bench.receive(driver)]


def test_what_the_queue_cannot_do_is_refused(bench, driver):
    """An ordering key off an ordered queue is UnsupportedError; nothing is stored."""
    results = driver.send([bench.item("a", ordering_key="k"), bench.item("b", ordering_key="k")])
    assert [UnsupportedError, UnsupportedError] == [type(r.error) for r in results]
    assert 0 == driver.stats("q").ready


def test_an_item_that_cannot_be_stored_fails_alone(bench, driver):
    """A text that isn't Unicode has an error of its own; the others of its batch are stored, once."""
    results = driver.send([bench.item("a"), bench.item("\ud800", body=b""), bench.item("c", native_id="n")])
    assert [type(None), BackendError, type(None)] == [type(r.error) for r in results]
    assert [False] == [results[2].duplicate]
    assert ["a", "c"] == [one.id for one in bench.receive(driver)]


def test_sending_nothing_stores_nothing(driver):
    """An empty batch has no results."""
    assert [] == list(driver.send([]))


def test_a_delay_of_any_length_is_kept(bench, driver):
    """A message is hidden until its time: a second, or years; one beyond the calendar's end isn't an error."""
    bench.send(driver, "soon", delay=SECOND)
    bench.send(driver, "years", delay=timedelta(days=3650))
    bench.send(driver, "never", delay=timedelta.max)
    assert [] == bench.receive(driver)
    bench.clock.advance(SECOND)
    assert ["soon"] == [one.id for one in bench.receive(driver, lease=timedelta(days=10_000))]
    bench.clock.advance(timedelta(days=3650))
    assert ["years"] == [one.id for one in bench.receive(driver)]
    assert 1 == driver.stats("q").delayed


def test_a_failure_is_kept_beside_the_body(bench, driver):
    """What an Outgoing tells of a failure comes back with the delivery."""
    failure = Failure(reason="it broke", attempts=3)
    bench.send(driver, "a", failure=failure)
    assert [failure] == [one.failure for one in bench.receive(driver)]


@pytest.mark.parametrize("step", [Ack(), NativeDeadLetter(failure=Failure(reason="poison"))], ids=["ack", "dead"])
def test_one_message_of_a_key_at_a_time_in_order(bench, driver, step):
    """On an ordered queue the next of a key comes when the one before is gone, by an ack or as a dead letter."""
    items = [bench.item(id_, "q.fifo", ordering_key=id_[0]) for id_ in ("a1", "a2", "b1", "a3", "b2")]
    driver.send(items)
    seen = []
    while deliveries := bench.receive(driver, "q.fifo"):
        seen.append([one.id for one in deliveries])
        assert [None] * len(deliveries) == bench.settle(driver, step, *deliveries)
    assert [["a1", "b1"], ["a2", "b2"], ["a3"]] == seen


def test_a_released_message_still_goes_first(bench, driver):
    """While the first of a key waits for its next attempt, those behind it wait too."""
    bench.send(driver, "a1", "a2", queue="q.fifo", ordering_key="a")
    assert [None] == bench.settle(driver, Release(delay=SECOND), *bench.receive(driver, "q.fifo"))
    assert [] == bench.receive(driver, "q.fifo")
    bench.clock.advance(SECOND)
    assert ["a1"] == [one.id for one in bench.receive(driver, "q.fifo")]


def test_an_expired_lease_does_not_let_the_next_pass(bench, driver):
    """When the holder of a key's first message dies, that message comes again before those behind it."""
    bench.send(driver, "a1", "a2", queue="q.fifo", ordering_key="a")
    bench.receive(driver, "q.fifo", lease=SECOND)
    bench.clock.advance(SECOND)
    assert ["a1"] == [one.id for one in bench.receive(driver, "q.fifo")]


def test_a_key_starts_afresh_when_it_is_empty(bench, driver):
    """A message sent after all earlier ones of its key are gone is receivable at once."""
    for id_ in ("a1", "a2"):
        bench.send(driver, id_, queue="q.fifo", ordering_key="a")
        deliveries = bench.receive(driver, "q.fifo")
        assert [(id_, "a")] == [(one.id, one.group) for one in deliveries]
        assert [None] == bench.settle(driver, Ack(), *deliveries)


def test_a_key_means_nothing_in_another_queue(bench, driver):
    """The same ordering key in two queues is two orders."""
    bench.send(driver, "x", queue="x.fifo", ordering_key="k")
    bench.send(driver, "y", queue="y.fifo", ordering_key="k")
    assert ["y"] == [one.id for one in bench.receive(driver, "y.fifo")]


@pytest.mark.parametrize(
    ("items", "alone"),
    [
        ([{}], True),
        ([{"delay": timedelta(seconds=1)}], True),
        ([{"native_id": "n"}], False),
        ([{"body": bytes(16 * 1024 + 1)}], False),
        ([{}, {}], False),
    ],
    ids=["one", "delayed", "with a native id", "large", "two"],
)
def test_one_small_message_is_one_statement(bench, driver, items, alone):
    """SQLite makes it a transaction of its own; all else stands between BEGIN and COMMIT."""
    seen = []
    driver._session.database._writer.set_trace_callback(lambda sql: seen.append(sql.split()[0]))
    results = driver.send([bench.item(f"m{number}", **fields) for number, fields in enumerate(items)])
    driver._session.database._writer.set_trace_callback(None)
    assert [None] * len(items) == [result.error for result in results]
    assert (alone, not alone) == (seen == ["INSERT"], seen[0] == "BEGIN" and seen[-1] == "COMMIT")


def test_one_statement_waits_for_other_programs_as_a_transaction_does(bench, monkeypatch):
    """While another program holds the database it is tried again, stored once, and given up after the time-out."""
    driver, patient = bench.open(busy_timeout=timedelta(milliseconds=100)), bench.open()
    other = sqlite3.connect(bench.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    (given_up,) = driver.send([bench.item("a")])
    assert isinstance(given_up.error, BackendUnavailable)
    pauses = []
    monkeypatch.setattr(connection.time, "sleep", lambda _: pauses.append(other.execute("COMMIT")))
    assert [None] == [result.error for result in patient.send([bench.item("b")])]
    monkeypatch.undo()
    other.close()
    assert (1, [("b",)]) == (len(pauses), bench.query("SELECT id FROM message"))


@pytest.mark.parametrize("size", [0, 1, 16 * 1024, 16 * 1024 + 1], ids=["none", "one", "small", "large"])
@pytest.mark.parametrize("fields", [{}, {"failure": Failure(reason="it broke")}], ids=["plain", "failed"])
@pytest.mark.parametrize("beside", [0, 2])
def test_a_row_has_what_was_sent(bench, driver, size, fields, beside):
    """Alone and in a batch: a body is a blob of these bytes, and what wasn't said is NULL."""
    others = [bench.item(f"beside{index}") for index in range(beside)]
    results = driver.send([bench.item("a", body=b"x" * size, cancellable=True, **fields), *others])
    assert [None] * (1 + beside) == [result.error for result in results]
    columns = "typeof(body), length(body), group_key, failure IS NULL, due_at = visible_at, boot, deliveries, runs"
    [row] = bench.query(f"SELECT {columns} FROM message WHERE id = 'a'")  # noqa: S608 - a constant
    assert ("blob", size, None, not fields, True, 0, 0, 0) == row
    assert driver.cancel("q", results[0].receipt)


def test_the_receipts_of_a_batch_are_those_of_its_rows(bench, driver):
    """Also behind messages that are gone, and with a duplicate among them."""
    bench.send(driver, "gone", "gone too")
    driver.purge("q")
    named = [("a", "n"), ("b", "n"), ("c", None), ("d", "m")]
    results = driver.send([bench.item(id_, native_id=native_id, cancellable=True) for id_, native_id in named])
    assert ["3-a", None, "4-c", "5-d"] == [result.receipt for result in results]
    assert [(3, "a"), (4, "c"), (5, "d")] == bench.query("SELECT seq, id FROM message ORDER BY seq")
