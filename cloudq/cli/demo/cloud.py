"""`cloudq demo` on a hosted queue: sends, works, shows a dead letter, redrives it, and checks what came of it all."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from cloudq.cli.demo.places import Place
from cloudq.cli.demo.text import Lines, dead_letters
from cloudq.cli.dlq.text import show
from cloudq.cli.output import progress, write
from cloudq.core.clock import SYSTEM_CLOCK, monotonic
from cloudq.core.driver import QueueMaker
from cloudq.errors import CloudqError

if TYPE_CHECKING:
    from cloudq.app import App
    from cloudq.running.events import Finished

TASKS: Final = 500
CUSTOMERS: Final = 20
PER_CUSTOMER: Final = 10
EXPIRED: Final = 42
# How long the last answer may take to reach the emulator.
_SETTLING: Final = timedelta(seconds=10)
_LOOK: Final = timedelta(milliseconds=50)


def tour(place_of: Callable[[], AbstractContextManager[Place]]) -> None:
    """The whole tour. What it makes is in memory, and ends with it.

    Raises:
        ConfigurationError: What it needs isn't installed.
        CloudqError: It didn't end as it should.
    """
    from cloudq.cli.demo.shop import ORDERED, PLAIN, app, ledger

    ledger.clear()
    with place_of() as place:
        app.configure(place.url)
        try:
            queues = [PLAIN, ORDERED] if place.ordered else [PLAIN]
            driver = app.driver()
            if isinstance(driver, QueueMaker):
                for queue in queues:
                    driver.make_queue(queue)
            # Nothing is pushed before there is a worker.
            place.pause()
            _stops(app, place, queues)
        finally:
            app.close()


def _stops(app: App, place: Place, queues: list[str]) -> None:
    from cloudq.cli.demo.shop import PLAIN, charge, history, ledger

    ordered = CUSTOMERS * PER_CUSTOMER if place.ordered else 0
    orders = TASKS - ordered
    write(f"1. Send: {TASKS} tasks to {place.service}, emulated on this machine.")
    if ordered:
        write(
            f"   {ordered} of them keep an order: {PER_CUSTOMER} for each of {CUSTOMERS} customers, in a queue apart."
        )
    write(f"   Order {EXPIRED}'s card has expired: that task has to fail.")
    began = monotonic()
    calls = [charge.call(order, expired=order == EXPIRED) for order in range(orders)]
    names = [f"customer {number:02}" for number in range(CUSTOMERS if ordered else 0)]
    entries = [history.options(ordering_key=name).call(name, n) for n in range(PER_CUSTOMER) for name in names]
    sent = app.send_many([*calls, *entries])
    write(f"   {len(sent)} messages are stored, in {monotonic() - began:.2f} s.\n")

    write(f"2. Work: {place.how}.")
    seconds = _work(app, place, len(sent))
    write(f"   {len(sent)} tasks have run, in {seconds:.2f} s: {len(sent) / seconds:,.0f} a second.")
    _check(len(ledger.charged) == orders - 1, f"{len(ledger.charged)} of {orders - 1} orders are charged")
    if ordered:
        kept = sum(list(dict.fromkeys(ledger.histories[name])) == list(range(PER_CUSTOMER)) for name in names)
        write(f"   {kept} of {CUSTOMERS} customers' histories are complete and in order.")
        _check(kept == CUSTOMERS, "a history isn't as it was sent")

    letters = app.queue(PLAIN).dead_letters
    dead = letters.peek()
    write(f"\n3. What failed: {dead_letters(len(dead))}, as `cloudq dlq show` shows it.\n")
    for letter in dead:
        show(letter)
    _check(len(dead) == 1, "one dead letter was to be expected")

    write("\n4. Fix the cause, with a new card; then redrive, and work again.")
    ledger.renewed = True
    redriven = letters.redrive([letter.key for letter in dead]).redriven
    _work(app, place, redriven)
    write(f"   {dead_letters(redriven)} sent again. {len(ledger.charged)} of {orders} orders are charged;")
    waiting, left = _count_left(app, queues)
    write(f"   {waiting} messages are waiting, {dead_letters(left)} left; {ledger.repeats} tasks ran a second time.\n")
    _check(len(ledger.charged) == orders and not waiting and not left, "something is left, or missing")
    write("All done.")


def _work(app: App, place: Place, total: int) -> float:
    """Runs a worker until that many tasks have ended. Returns how many seconds it took."""
    began = monotonic()
    with progress("   working", total) as done:
        lines = Lines(total)

        def ended(_: Finished) -> None:
            done(1)
            if lines.one_more() == total:
                worker.stop()

        worker = place.worker(app, ended)
        try:
            code = worker.run()
        finally:
            place.pause()
    if code:
        raise CloudqError("the worker failed: see its log lines above")
    lines.raise_if_interrupted()
    return monotonic() - began


def _count_left(app: App, queues: list[str]) -> tuple[int, int]:
    """How many messages wait, and how many dead letters there are, once the last answers have arrived."""
    until = SYSTEM_CLOCK.now() + _SETTLING
    pause = threading.Condition()
    while True:
        stats = [app.queue(queue).stats() for queue in queues]
        waiting = sum((one.ready or 0) + (one.in_flight or 0) + (one.delayed or 0) for one in stats)
        if not waiting or SYSTEM_CLOCK.now() > until:
            return waiting, sum(one.dead or 0 for one in stats)
        with pause:
            SYSTEM_CLOCK.wait(pause, _LOOK)


def _check(right: bool, what: str) -> None:
    if not right:
        raise CloudqError(f"the demo didn't end as it should: {what}")
