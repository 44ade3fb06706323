"""Keys of what a keyed task sends: a repeated run sends the same work, whatever its order, and loses none."""

from __future__ import annotations

import threading
from contextvars import copy_context
from datetime import timedelta

import pytest

import cloudq
from cloudq import App, Retry
from cloudq.testing import FakeClock, in_memory, run_all, sent


@pytest.fixture
def app():
    with in_memory(App(), clock=FakeClock()) as app:
        yield app


def keys_of(app, task="ship"):
    return [message.idempotency_key for message in sent(app) if message.task == task]


def shop_of(app, order_of_items, *, fails=1, send=None):
    """A keyed task that sends a child for each item, and fails at first; the children that ran."""
    shipped, runs = [], []

    @app.task("ship")
    def ship(item: str) -> None:
        shipped.append(item)

    @app.task("order", idempotency_key="order-{number}")
    def order(number: int) -> None:
        runs.append(number)
        for item in order_of_items(len(runs)):
            (send or (lambda item: ship.send(item=item)))(item)
        if len(runs) <= fails:
            raise Retry("again")

    order.send(number=42)
    run_all(app)
    return shipped


def test_a_repeated_run_does_not_fan_out_twice(app):
    """Each child is the same work in both runs."""
    assert ["a", "b"] == sorted(shop_of(app, lambda run: ["a", "b"]))


def test_a_run_in_another_order_loses_no_child(app):
    """Each key is that of its payload, not of its place: as from a set, whose order differs in each process."""
    shipped = shop_of(app, lambda run: ["a", "b", "c"] if run == 1 else ["c", "a", "b"])
    assert ["a", "b", "c"] == sorted(shipped)


def test_a_run_that_ended_half_way_is_completed_by_the_next(app):
    """The first sent one of three."""
    assert ["a", "b", "c"] == sorted(shop_of(app, lambda run: ["b"] if run == 1 else ["a", "b", "c"]))


def test_the_same_payload_sent_twice_is_two_children(app):
    """As many as one run sends."""
    assert ["a", "a", "b"] == sorted(shop_of(app, lambda run: ["a", "b", "a"]))


@pytest.mark.parametrize("way", ["name", "many", "thread"])
def test_however_it_is_sent(app, way):
    """By name, many at once, from a thread that has the task's context."""

    def send(item):
        if way == "name":
            app.send("ship", {"item": item})
        elif way == "many":
            app.send_many([app.tasks["ship"].call(item=item)])
        else:
            context = copy_context()
            thread = threading.Thread(target=context.run, args=(app.send, "ship", {"item": item}))
            thread.start()
            thread.join()

    assert ["a", "b"] == sorted(shop_of(app, lambda run: ["a", "b"], send=send))


def test_another_parents_children_are_others(app):
    """With the same payload."""

    @app.task("ship")
    def ship(item: str) -> None: ...

    @app.task("order", idempotency_key="order-{number}")
    def order(number: int) -> None:
        ship.send(item="a")

    for number in (1, 2):
        order.send(number=number)
    run_all(app)
    assert 2 == len(set(keys_of(app)))


def test_a_childs_own_key_stays(app):
    """Whether its send gives it or its declaration does."""

    @app.task("ship", idempotency_key="item-{item}")
    def ship(item: str) -> None: ...

    @app.task("order", idempotency_key="order-{number}")
    def order(number: int) -> None:
        ship.send(item="a")
        ship.options(idempotency_key="mine").send(item="b")

    order.send(number=1)
    run_all(app)
    assert ["item-a", "mine"] == keys_of(app)


@pytest.mark.parametrize("options", [{"debounce": timedelta(seconds=1)}, {"unique_while_waiting": True}])
def test_what_one_is_to_wait_of_runs_after_each_send(app, options):
    """Also after that of the second run, whose change the first one's child hasn't seen."""
    changes, seen = [], []

    @app.task("index")
    def index() -> None:
        seen.append(len(changes))

    @app.task("change", idempotency_key="change-{number}")
    def change(number: int) -> None:
        changes.append(number)
        index.options(**options).send()
        if len(changes) == 1:
            raise Retry("again", delay=timedelta(minutes=1))

    change.send(number=1)
    run_all(app)
    assert [1, 2] == seen


def test_what_a_childs_key_ignores_makes_no_other_work_of_it(app):
    """A time of sending, say, which differs in each run."""
    runs, shipped = [], []

    @app.task("ship", idempotency_ignore={"requested_at"})
    def ship(item: str, requested_at: int) -> None:
        shipped.append(item)

    @app.task("order", idempotency_key="order-{number}")
    def order(number: int) -> None:
        runs.append(number)
        ship.send(item="a", requested_at=len(runs))
        if len(runs) == 1:
            raise Retry("again")

    order.send(number=1)
    run_all(app)
    assert ["a"] == shipped


def test_who_has_no_claim_gives_no_keys():
    """A task without a key, one whose keys are the backend's, and a program outside of any task."""
    app = App(store="none")
    with in_memory(app, clock=FakeClock()):

        @app.task("ship")
        def ship(item: str) -> None: ...

        @app.task("order", idempotency_key="order-{number}")
        def order(number: int) -> None:
            ship.send(item="a")

        @app.task("plain")
        def plain(context: cloudq.Context) -> None:
            ship.send(item="b")

        order.send(number=1)
        plain.send()
        ship.send(item="c")
        run_all(app)
        assert [None] * 3 == keys_of(app)
