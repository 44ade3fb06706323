"""Options of a send and of a task: what they do to the message, and what is refused before anything is stored."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo

import pytest

from cloudq import App
from cloudq.errors import OptionError, SendManyError, UnsupportedError
from cloudq.testing import in_memory, run_all, sent
from cloudq.testing.profiles import cloud_tasks_like, sqs_like
from tests.ids import shown

HOUR = timedelta(hours=1)
NOON = (datetime.now(UTC) + timedelta(days=30)).replace(hour=12, minute=0, second=0, microsecond=0)


@pytest.fixture
def app():
    with in_memory(App()) as app:
        yield app


def order(order_id: int, customer: object = None, note: str = "none") -> None: ...


class Nowhere(tzinfo):
    def utcoffset(self, moment):
        return None


REFUSED = [
    ({"delay": 5}, "delay is a timedelta, not 5"),
    ({"delay": 5.5}, "delay is a timedelta"),
    ({"delay": "1h"}, "delay is a timedelta"),
    ({"delay": -HOUR}, "can't be negative"),
    ({"delay": timedelta.max}, "beyond the year 9999"),
    ({"at": 1700000000}, "at is a datetime with a UTC offset"),
    ({"at": "2030-01-01T00:00:00Z"}, "at is a datetime with a UTC offset"),
    ({"at": date(2030, 1, 1)}, "at is a datetime with a UTC offset"),
    ({"at": datetime(2030, 1, 1)}, "at is a datetime with a UTC offset"),  # noqa: DTZ001 - that is the point
    ({"at": datetime(2030, 1, 1, tzinfo=Nowhere())}, "at is a datetime with a UTC offset"),
    ({"at": datetime.max.replace(tzinfo=timezone(-HOUR))}, "beyond the year 9999"),
    ({"delay": HOUR, "at": NOON}, "exclude each other"),
    ({"queue": ""}, "not the name of a queue"),
    ({"queue": None}, "not the name of a queue"),
    ({"queue": "a b"}, "not the name of a queue"),
    ({"queue": "q\n"}, "not the name of a queue"),
    ({"queue": "q-dlq"}, "dead-letter queue"),
    ({"queue": "q-dlq.fifo"}, "dead-letter queue"),
    ({"idempotency_key": ""}, "idempotency_key is a text of 1 to 512"),
    ({"idempotency_key": None}, "idempotency_key is a text"),
    ({"idempotency_key": 5}, "idempotency_key is a text"),
    ({"idempotency_key": "x" * 513}, "idempotency_key is a text"),
    ({"idempotency_key": "\ud800"}, "idempotency_key is a text"),
    ({"ordering_key": ""}, "ordering_key is a text"),
    ({"fairness_key": b"x"}, "fairness_key is a text"),
    ({"headers": None}, "headers are texts by name"),
    ({"headers": [("a", "b")]}, "headers are texts by name"),
    ({"headers": {"a": 1}}, "headers are texts by name"),
    ({"headers": {1: "a"}}, "headers are texts by name"),
    ({"headers": {"a": "\ud800"}}, "lone surrogate"),
    ({"delays": HOUR}, "no send option 'delays': did you mean 'delay'"),
    ({"priorities": 3}, "no send option 'priorities': did you mean 'priority'"),
    ({"priority": 3}, "priority is a name, not 3"),
    ({"priority": "high", "queue": "default"}, "priority and queue exclude each other"),
]


@pytest.mark.parametrize(("options", "why"), REFUSED, ids=shown)
def test_an_option_that_means_nothing_is_refused_before_anything_is_stored(app, options, why):
    """By a send of the task, of its name, of another program's task, of a call, and by `options()`."""
    task = app.task("t")(order)
    sends = [
        lambda: app.send(task, {"order_id": 1}, **options),
        lambda: app.send("t", {"order_id": 1}, **options),
        lambda: app.send("elsewhere", {}, **options),
        lambda: app.send(task.call(1), **options),
        lambda: task.options(**options).send(1),
    ]
    for send in sends:
        with pytest.raises(OptionError, match=why):
            send()
    assert [] == sent(app)


def test_options_are_what_the_message_carries(app):
    """Each option has its place in the message."""
    task = app.task("t", queues=["default", "other"])(order)
    task.options(queue="other", at=NOON, idempotency_key="i", headers={"tenant": "a", "traceparent": "00-1-2-01"}).send(
        1
    )
    [message] = sent(app)
    assert ("other", NOON, "i") == (message.queue, message.not_before, message.idempotency_key)
    assert {"tenant": "a", "traceparent": "00-1-2-01"} == message.headers


def test_a_delay_counts_from_the_send(app):
    """`delay` becomes the moment before which the message isn't due; none at all if it is nothing."""
    task = app.task("t")(order)
    task.options(delay=HOUR).send(1)
    task.options(delay=timedelta(0)).send(2)
    first, second = sent(app)
    assert (app.clock.now() + HOUR, None) == (first.not_before, second.not_before)


def test_a_moment_in_any_time_zone_is_that_moment(app):
    """`at` is normalised to UTC; one that has passed is due at once."""
    local = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    app.task("t")(order).options(at=local).send(1)
    [message] = sent(app)
    assert NOON == message.not_before
    assert UTC is message.not_before.tzinfo
    app.task("now")(lambda: None).options(at=app.clock.now() - HOUR).send()
    assert ["now"] == run_all(app, delayed=False).tasks


def test_options_of_the_send_come_over_those_of_the_call(app):
    """`send(call, **options)` changes what the call says."""
    task = app.task("t", queues=["a", "b"])(order)
    call = task.options(queue="a", headers={"x": "1"}).call(1)
    app.send(call, queue="b")
    assert ("b", {"x": "1"}) == (sent(app)[0].queue, sent(app)[0].headers)
    with pytest.raises(OptionError, match="exclude each other"):
        app.send(task.options(delay=HOUR).call(1), at=NOON)


def test_the_same_idempotency_key_is_stored_once(app):
    """The second send says so, with the first message's id; another task's same key is other work."""
    first = app.task("one", idempotency_key="o-{order_id}")(order)
    second = app.task("two", idempotency_key="o-{order_id}")(order)
    original = first.send(1)
    again = first.send(1)
    other = second.send(1)
    assert (original.id, True) == (again.id, again.duplicate)
    assert (False, False) == (original.duplicate, other.duplicate)
    assert 2 == len(sent(app))


# ── what the queue can't do ──────────────────────────────────────────────────────────────────────────────

UNSUPPORTED = [
    ({"ordering_key": "k"}, "keeps no order"),
    ({"queue": "q.fifo"}, "the message has none"),
    ({"queue": "q.fifo", "ordering_key": "k", "delay": HOUR}, "exclude each other"),
    ({"queue": "q.fifo", "ordering_key": "k", "at": NOON}, "exclude each other"),
]


@pytest.mark.parametrize(("options", "why"), UNSUPPORTED, ids=shown)
def test_what_the_queue_cannot_do_is_refused_never_ignored(app, options, why):
    """By send, asend and send_many alike."""
    task = app.task("t", queues=["default", "q.fifo"])(order).options(**options)
    with pytest.raises(UnsupportedError, match=why):
        task.send(1)
    with pytest.raises(UnsupportedError, match=why):
        asyncio.run(task.asend(1))
    with pytest.raises(SendManyError, match=why):
        app.send_many([task.call(1)])
    assert [] == sent(app)


def test_what_the_queue_can_do_is_carried():
    """A fairness key where it has an effect, an ordering key on an ordered queue."""
    with in_memory(App(), capabilities=sqs_like) as app:
        task = app.task("t", queues=["default", "q.fifo"])(order)
        task.options(fairness_key="a").send(1)
        task.options(queue="q.fifo", ordering_key="k").send(1)
        fair, ordered = sent(app)
    assert ("a", "k") == (fair.fairness_key, ordered.ordering_key)


def test_a_fairness_key_is_taken_everywhere_and_told_of_once_where_it_has_no_effect(caplog):
    """So that the same function runs on any backend; the key travels with the message."""
    with in_memory(App(), capabilities=cloud_tasks_like) as app:
        task = app.task("t")(order).options(fairness_key="tenant-7")
        task.send(1)
        asyncio.run(task.asend(2))
        app.send_many([task.call(3)])
        assert ["tenant-7"] * 3 == [message.fairness_key for message in sent(app)]
        assert ["tenant-7"] * 3 == [run.message.fairness_key for run in run_all(app).runs]
    assert 1 == caplog.text.count("doesn't share its capacity by fairness_key")


def test_a_parameter_given_as_an_option_is_told_from_a_misspelt_one(app):
    """`cloudq.send(task, order_id=1)`: options stand where other queues take the arguments."""
    task = app.task("t")(order)
    name = task._definition.parameters.names[0]
    sends = [
        lambda: app.send(task, **{name: 1}),
        lambda: app.send("t", **{name: 1}),
        lambda: app.send(task, {}, **{name: 1}),
        lambda: task.options(**{name: 1}),
    ]
    for send in sends:
        with pytest.raises(OptionError, match=f"no send option '{name}', but the task has a parameter") as refused:
            send()
        assert f"task.send({name}=...)" in refused.value.hint
    with pytest.raises(OptionError, match="there is no send option 'zzz': known"):
        app.send(task, zzz=1)


def test_a_negative_delay_is_readable(app):
    """As a number of seconds; Python's own text of it is `-1 day, 23:59:55`."""
    with pytest.raises(OptionError, match="delay is -5 s: it can't be negative"):
        app.send("t", delay=timedelta(seconds=-5))


@pytest.mark.parametrize("by_name", [False, True])
def test_a_time_that_is_too_far_away_is_refused(by_name: bool) -> None:
    """Before anything is stored; how far it may be is the app's."""
    with in_memory(App(longest_delay=timedelta(days=30))) as app:
        task = app.task("t")(lambda: None)

        def send(**options):
            return app.send("t", {}, **options) if by_name else task.options(**options).send()

        for options in ({"delay": timedelta(days=31)}, {"at": datetime.now(UTC) + timedelta(days=31)}):
            with pytest.raises(OptionError, match="further away than 30 d"):
                send(**options)
        assert [] == list(sent(app))
        send(delay=timedelta(days=29))
        assert 1 == len(sent(app))
