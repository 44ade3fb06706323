"""The Batcher: natural batching, bounds, order per key, and nobody left waiting however a call ends."""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudq.core.batching import FLUSHER_IDLE, STALL, Batcher
from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.flights import Entry
from cloudq.errors import BackendUnavailable
from cloudq.testing.clock import FakeClock
from tests.unit.tracing import clear_taken_back_errors

PATIENCE = 60.0
A_MOMENT = timedelta(microseconds=1)


class Item(NamedTuple):
    name: str
    key: str | None = None
    size: int = 1


class Service:
    """A backend whose calls land when the test says so. Checks what must hold of every call."""

    def __init__(self, *, held: bool = True) -> None:
        self.batches: list[list[Item]] = []
        self.outcomes: dict[int, BaseException | Sequence[str]] = {}
        self.most_at_once = 0
        self.broken: list[str] = []
        self._held = held
        self._landed: set[int] = set()
        self._flying: dict[int, list[Item]] = {}
        self._changed = threading.Condition()

    def __call__(self, items: Sequence[Item]) -> Sequence[str]:
        with self._changed:
            index = len(self.batches)
            keys = [item.key for batch in self._flying.values() for item in batch] + [item.key for item in items]
            keyed = [key for key in keys if key is not None]
            if len(keyed) != len(set(keyed)):
                self.broken.append(f"a key twice in flight: {keyed}")
            self.batches.append(list(items))
            self._flying[index] = list(items)
            self.most_at_once = max(self.most_at_once, len(self._flying))
            self._changed.notify_all()
            landed = self._changed.wait_for(lambda: not self._held or index in self._landed, PATIENCE)
            del self._flying[index]
            self._changed.notify_all()
        if not landed:
            raise TimeoutError(f"the test didn't land flight {index}")
        outcome = self.outcomes.get(index, [f"{item.name} stored" for item in items])
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def land(self, *indices: int) -> None:
        with self._changed:
            self._landed.update(indices)
            self._changed.notify_all()

    def land_what_flies(self) -> None:
        with self._changed:
            self._landed.update(self._flying)
            self._changed.notify_all()

    def release_all(self) -> None:
        with self._changed:
            self._held = False
            self._changed.notify_all()

    def until_flown(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.batches) >= count, PATIENCE), self.batches

    @property
    def names(self) -> list[list[str]]:
        with self._changed:
            return [sorted(item.name for item in batch) for batch in self.batches]

    @property
    def flying(self) -> int:
        with self._changed:
            return len(self._flying)


class Interrupting(FakeClock):
    """A clock in whose `wait` the threads of the given names are interrupted, as by Ctrl-C or a time limit."""

    def __init__(self) -> None:
        super().__init__(patience=timedelta(seconds=PATIENCE))
        self.victims: set[str] = set()
        self.timeouts: list[timedelta | None] = []

    def wait(self, condition: threading.Condition, timeout: timedelta | None) -> bool:
        self.timeouts.append(timeout)
        woken = super().wait(condition, timeout)
        if threading.current_thread().name in self.victims:
            raise KeyboardInterrupt
        return woken


class InterruptedAt:
    """Raises KeyboardInterrupt at the given step, counted in bytecodes of one function."""

    def __init__(self, step: int, function: str) -> None:
        self._left = step
        self._function = function

    def run(self, call: Callable[[], object]) -> bool:
        """Whether it was interrupted."""
        clear_taken_back_errors()
        before = sys.gettrace()
        sys.settrace(self._trace)
        try:
            call()
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(before)
        return False

    def _trace(self, frame: FrameType, event: str, _: object) -> Callable[[FrameType, str, object], object] | None:
        if frame.f_code.co_name != self._function:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            self._left -= 1
            if not self._left:
                raise KeyboardInterrupt
        return self._trace


def all_idle(batcher: Batcher[Item, str]) -> bool:
    """Whether every flusher waits for something to do."""
    with batcher._lock:
        return batcher._idle_flushers == batcher._flushers


def in_thread(call: Callable[[Item], str], item: Item) -> Future[str]:
    """The call in a thread that is named after the item."""
    future: Future[str] = Future()

    def run() -> None:
        try:
            future.set_result(call(item))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name=item.name, daemon=True).start()
    return future


def until(predicate: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not predicate():
        assert time.monotonic() < deadline, "it didn't happen"
        time.sleep(0.001)


@contextmanager
def batching(
    *, clock: FakeClock | None = None, max_items: int = 10, **options: object
) -> Iterator[tuple[Batcher[Item, str], Service, FakeClock]]:
    """A Batcher over a held Service under a clock that stands still; at the end all land and all threads end."""
    service = Service()
    clock = clock or FakeClock(patience=timedelta(seconds=PATIENCE))
    batcher: Batcher[Item, str] = Batcher(
        service,
        max_items=max_items,
        size=lambda item: item.size,
        key=lambda item: item.key,
        clock=clock,
        name=f"flusher-{id(service)}",
        **options,  # type: ignore[arg-type]  # the tests pass the constructor's own
    )
    try:
        yield batcher, service, clock
    finally:
        service.release_all()
        until(lambda: clock.advance(FLUSHER_IDLE) is None and not flushers(batcher))
    assert [] == service.broken


def flushers(batcher: Batcher[Item, str]) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(batcher._threads._name)]


def add(batcher: Batcher[Item, str], item: Item) -> Future[str]:
    """Calls in a thread and returns once the item waits or flies."""
    future = in_thread(batcher.call, item)

    def there() -> bool:
        with batcher._lock:
            waiting = [entry.item for entry in batcher._waiting]
            behind = [entry.item for queue in batcher._behind.values() for entry in queue]
        flown = [flown for batch in batcher._flush.batches for flown in batch]  # type: ignore[attr-defined]
        return future.done() or item in waiting + behind + flown

    until(there)
    return future


# ── natural batching ─────────────────────────────────────────────────────────────────────────────────────


def test_a_call_alone_flies_at_once() -> None:
    """A single caller waits for nobody: one item, one call, its own result."""
    with batching() as (batcher, service, _):
        service.release_all()
        assert "a stored" == batcher.call(Item("a"))
        assert [["a"]] == service.names


def test_arrivals_during_a_flight_join_the_next() -> None:
    """Whoever comes while a call is in flight goes out together with the others, as soon as it lands."""
    with batching() as (batcher, service, clock):
        first = in_thread(batcher.call, Item("a"))
        service.until_flown(1)
        others = [in_thread(batcher.call, Item(name)) for name in "bcd"]
        clock.until_waiting(3)
        assert [["a"]] == service.names
        service.land(0)
        service.until_flown(2)
        assert [["a"], ["b", "c", "d"]] == service.names
        service.land(1)
        assert ["a stored", "b stored", "c stored", "d stored"] == [f.result(PATIENCE) for f in [first, *others]]


def test_a_full_batch_starts_another_flight() -> None:
    """Enough waiters for a full call don't wait for the one in flight."""
    with batching(max_items=2) as (batcher, service, clock):
        in_thread(batcher.call, Item("a"))
        service.until_flown(1)
        in_thread(batcher.call, Item("b"))
        clock.until_waiting(1)
        in_thread(batcher.call, Item("c"))
        service.until_flown(2)
        assert [["a"], ["b", "c"]] == service.names


def test_a_batch_full_by_bytes_starts_another_flight() -> None:
    """Enough bytes for a full call don't wait for the one in flight."""
    with batching(max_bytes=10) as (batcher, service, clock):
        in_thread(batcher.call, Item("a"))
        service.until_flown(1)
        in_thread(batcher.call, Item("b", size=6))
        clock.until_waiting(1)
        in_thread(batcher.call, Item("c", size=4))
        service.until_flown(2)
        assert [["a"], ["b", "c"]] == service.names


def test_no_batch_has_more_than_max_items() -> None:
    """Five waiters and calls of two items: two, two, one."""
    with batching(max_items=2, max_flights=1) as (batcher, service, _):
        in_thread(batcher.call, Item("first"))
        service.until_flown(1)
        waiting = [add(batcher, Item(name)) for name in "abcde"]
        service.release_all()
        assert [f"{name} stored" for name in "abcde"] == [future.result(PATIENCE) for future in waiting]
        assert [["first"], ["a", "b"], ["c", "d"], ["e"]] == service.names


def test_no_batch_has_more_than_max_bytes_and_an_oversize_item_flies_alone() -> None:
    """Batches are cut by bytes in the order of arrival; what is larger than the bound alone is a batch alone."""
    with batching(max_bytes=10, max_flights=1) as (batcher, service, _):
        in_thread(batcher.call, Item("first"))
        service.until_flown(1)
        sizes = {"a": 6, "b": 4, "c": 1, "huge": 50, "d": 2}
        waiting = [add(batcher, Item(name, size=size)) for name, size in sizes.items()]
        service.release_all()
        assert [f"{name} stored" for name in sizes] == [future.result(PATIENCE) for future in waiting]
        assert [["first"], ["a", "b"], ["c"], ["huge"], ["d"]] == service.names


def test_sixteen_threads_make_far_fewer_calls_than_items() -> None:
    """With sixteen threads sending, a call carries several items, and each thread gets its own results."""
    calls = 0
    lock = threading.Lock()

    def flush(items: Sequence[int]) -> list[int]:
        nonlocal calls
        with lock:
            calls += 1
        time.sleep(0.002)  # the round trip to a backend, not a synchronisation
        return [item * 2 for item in items]

    batcher: Batcher[int, int] = Batcher(flush, max_items=10)
    wrong: list[int] = []

    def send(thread: int) -> None:
        for number in range(50):
            item = thread * 1_000 + number
            if batcher.call(item) != item * 2:
                wrong.append(item)

    threads = [threading.Thread(target=send, args=(thread,)) for thread in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert [] == wrong
    assert calls < 16 * 50 / 2


# ── flights ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_stalled_flight_blocks_nobody_for_longer_than_the_stall_time() -> None:
    """After 50 ms of waiting a caller starts a flight of its own, and not earlier."""
    with batching() as (batcher, service, clock):
        in_thread(batcher.call, Item("stalls"))
        service.until_flown(1)
        second = in_thread(batcher.call, Item("b"))
        clock.until_waiting(1)
        clock.advance(STALL - A_MOMENT)
        clock.until_waiting(1)
        assert [["stalls"]] == service.names
        clock.advance(A_MOMENT)
        service.until_flown(2)
        service.land(1)
        assert "b stored" == second.result(PATIENCE)


def test_never_more_flights_than_max_flights() -> None:
    """With all flights stalled, later items wait for a landing, without a timer, and then go together."""
    clock = Interrupting()
    with batching(clock=clock, max_flights=2, max_items=1) as (batcher, service, _):
        futures = [add(batcher, Item(str(number))) for number in range(6)]
        clock.until_waiting(4)
        clock.timeouts.clear()
        clock.advance(STALL * 10)
        until(lambda: len(clock.timeouts) >= 4)
        assert [None] * 4 == clock.timeouts
        service.release_all()
        assert [f"{number} stored" for number in range(6)] == [future.result(PATIENCE) for future in futures]
        assert 2 == service.most_at_once


def test_a_stalled_flight_does_not_block_what_was_submitted_together_with_its_items() -> None:
    """What an idle flusher leaves behind for the next call is seen to by another one while the first call stalls."""
    with batching(max_items=1) as (batcher, service, clock):
        batcher.submit(Item("first"))
        service.land(0)
        clock.until_waiting(1)
        with batcher._lock:  # so that both are there before the one idle flusher wakes
            batcher.submit(Item("stalls"))
            second = batcher.submit(Item("b"))
        service.until_flown(3)
        service.land(2)
        assert "b stored" == second.result(PATIENCE)


def test_an_item_wakes_one_idle_flusher() -> None:
    """However many flushers are idle, one looks after what was submitted; the others sleep on."""
    clock = Interrupting()
    with batching(clock=clock, max_items=1) as (batcher, service, _):
        for number in range(3):
            batcher.submit(Item(f"first {number}"))
        service.until_flown(3)
        service.land(0, 1, 2)
        until(lambda: all_idle(batcher))  # three of them, or four if one was slow to take its first item
        clock.timeouts.clear()
        for number in range(5):
            done = batcher.submit(Item(str(number)))
            service.until_flown(4 + number)
            service.land(3 + number)
            assert f"{number} stored" == done.result(PATIENCE)
            until(lambda: all_idle(batcher))
        assert [FLUSHER_IDLE] * 5 == clock.timeouts


@pytest.mark.parametrize("step", [timedelta(hours=1), timedelta(hours=-1)])
def test_a_clock_that_is_set_changes_no_wait(step: timedelta) -> None:
    """The stall is a span: setting the clock forward doesn't end it, setting it back doesn't prolong it."""
    with batching() as (batcher, service, clock):
        in_thread(batcher.call, Item("stalls"))
        service.until_flown(1)
        in_thread(batcher.call, Item("b"))
        clock.until_waiting(1)
        clock.step(step)
        clock.advance(STALL - A_MOMENT)
        clock.until_waiting(1)
        assert [["stalls"]] == service.names
        clock.advance(A_MOMENT)
        service.until_flown(2)


def test_what_stalls_between_two_looks_at_the_clock_flies_at_once() -> None:
    """A flusher that finds that the time has just run out doesn't take that for nothing to do."""

    class Late(Interrupting):
        """Time runs out after the flusher's look whether to fly, and before its look how long to wait."""

        def __init__(self) -> None:
            super().__init__()
            self.left: int | None = None

        def elapsed(self) -> timedelta:
            if self.left is not None and threading.current_thread().name.startswith("flusher"):
                self.left -= 1
                if self.left == 0:
                    self._elapsed += A_MOMENT
            return super().elapsed()

    clock = Late()
    with batching(clock=clock) as (batcher, service, _):
        batcher.submit(Item("idle"))
        service.until_flown(1)
        service.land(0)
        until(lambda: all_idle(batcher))
        in_thread(batcher.call, Item("stalls"))
        service.until_flown(2)
        with batcher._lock:
            waiting = batcher.submit(Item("b"))
        until(lambda: all_idle(batcher) and clock.timeouts[-1] == STALL)
        clock.timeouts.clear()
        clock.left = 2
        clock.advance(STALL - A_MOMENT)
        service.until_flown(3)
        service.land(2)
        assert "b stored" == waiting.result(PATIENCE)
        assert timedelta(0) == clock.timeouts[0]


# ── ordering keys ────────────────────────────────────────────────────────────────────────────────────────


def test_of_one_key_one_item_flies_at_a_time_in_order() -> None:
    """A key's next item waits until the one before it has landed, however many flights are free."""
    with batching(max_items=2) as (batcher, service, clock):
        futures = [batcher.submit(Item(f"k{number}", key="k")) for number in range(4)]
        for number in range(4):
            service.until_flown(number + 1)
            clock.advance(STALL * 2)
            assert [f"k{number}"] == service.names[-1]
            assert number + 1 == len(service.names)
            service.land(number)
        assert [f"k{number} stored" for number in range(4)] == [future.result(PATIENCE) for future in futures]


def test_a_key_in_flight_does_not_block_other_keys() -> None:
    """Items of other keys, and of none, overtake one that waits for its key."""
    with batching() as (batcher, service, clock):
        batcher.submit(Item("k1", key="k"))
        service.until_flown(1)
        blocked = batcher.submit(Item("k2", key="k"))
        others = [batcher.submit(Item("j1", key="j")), batcher.submit(Item("free"))]
        clock.until_waiting(1)
        clock.advance(STALL)
        service.until_flown(2)
        assert ["free", "j1"] == service.names[1]
        service.land(1)
        assert ["j1 stored", "free stored"] == [future.result(PATIENCE) for future in others]
        assert not blocked.done()
        service.land(0)
        service.until_flown(3)
        service.land(2)
        assert "k2 stored" == blocked.result(PATIENCE)


def test_an_item_blocked_by_its_key_does_not_end_natural_batching() -> None:
    """However long an item waits for its key, the newcomers still wait for each other before they fly."""
    with batching() as (batcher, service, clock):
        in_thread(batcher.call, Item("k1", key="k"))
        service.until_flown(1)
        in_thread(batcher.call, Item("k2", key="k"))
        clock.until_waiting(1)
        clock.advance(STALL * 10)
        for count, name in enumerate("bcd", start=2):
            in_thread(batcher.call, Item(name))
            clock.until_waiting(count)
        assert [["k1"]] == service.names
        clock.advance(STALL)
        service.until_flown(2)
        assert [["k1"], ["b", "c", "d"]] == service.names


def test_waiting_for_a_key_is_not_polling() -> None:
    """A caller whose item is blocked by its key sleeps until a flight lands."""
    clock = Interrupting()
    with batching(clock=clock) as (batcher, service, _):
        in_thread(batcher.call, Item("k1", key="k"))
        service.until_flown(1)
        in_thread(batcher.call, Item("k2", key="k"))
        clock.until_waiting(1)
        assert [None] == clock.timeouts


def test_thousands_of_items_of_one_key_cost_linear_time() -> None:
    """Each flight of a keyed item is found at once, not by going through all that wait behind it."""
    go = threading.Event()

    def flush(items: Sequence[int]) -> list[int]:
        assert go.wait(PATIENCE)
        return list(items)

    batcher: Batcher[int, int] = Batcher(flush, max_items=10, key=lambda _: "k")
    futures = [batcher.submit(number) for number in range(20_000)]
    started = time.process_time()
    go.set()
    assert list(range(20_000)) == [future.result(60) for future in futures]
    assert time.process_time() - started < 5  # going through the queue each time takes 25 s


# ── how calls end ────────────────────────────────────────────────────────────────────────────────────────


def together(batcher: Batcher[Item, str], service: Service, *names: str) -> list[Future[str]]:
    """Lets the named items go out in one batch, which is flight 1."""
    in_thread(batcher.call, Item("first"))
    service.until_flown(1)
    futures = [add(batcher, Item(name)) for name in names]
    service.land(0)
    service.until_flown(2)
    assert sorted(names) == service.names[1]
    return futures


def test_each_caller_gets_its_own_result() -> None:
    """The results of a batch go to their callers by position, failed ones too."""
    with batching() as (batcher, service, _):
        service.outcomes[1] = ["a: full", "b: fine", "c: full"]
        futures = together(batcher, service, "a", "b", "c")
        service.land(1)
        assert ["a: full", "b: fine", "c: full"] == [future.result(PATIENCE) for future in futures]


def test_a_call_that_raises_fails_its_own_items_only() -> None:
    """Each caller of the batch gets the error; the next call is as if nothing had been."""
    with batching() as (batcher, service, _):
        service.outcomes[1] = ConnectionError("cut")
        futures = together(batcher, service, "a", "b")
        service.land(1)
        assert ["cut", "cut"] == [str(future.exception(PATIENCE)) for future in futures]
        service.release_all()
        assert "c stored" == batcher.call(Item("c"))


@pytest.mark.parametrize("results", [["one"], ["one", "two", "three"], []])
def test_a_wrong_number_of_results_is_an_error_for_all(results: list[str]) -> None:
    """A flush that breaks its contract is reported to each caller: no result can be told apart from another."""
    with batching() as (batcher, service, _):
        service.outcomes[1] = results
        futures = together(batcher, service, "a", "b")
        service.land(1)
        expected = f"2 items went out and {len(results)} results came back"
        assert [expected, expected] == [str(future.exception(PATIENCE)) for future in futures]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt(), SystemExit(1)])
def test_an_interrupted_leader_does_not_strand_its_passengers(interruption: BaseException) -> None:
    """The leader gets the interruption itself; its passengers learn that their items may have been stored."""
    with batching() as (batcher, service, _):
        service.outcomes[1] = interruption
        futures = together(batcher, service, "a", "b", "c")
        service.land(1)
        errors = [future.exception(PATIENCE) for future in futures]
        assert 1 == errors.count(interruption)
        passengers = [error for error in errors if error is not interruption]
        assert [BackendUnavailable, BackendUnavailable] == [type(error) for error in passengers]
        assert [interruption, interruption] == [error.__cause__ for error in passengers if error]
        service.release_all()
        assert "d stored" == batcher.call(Item("d"))


def test_each_caller_gets_an_error_of_its_own() -> None:
    """Each raises it in a thread of its own, and writes its traceback while it does."""
    with batching() as (batcher, service, _):
        cause = OSError("cut")
        service.outcomes[1] = BackendUnavailable("no answer", hint="later")
        service.outcomes[1].__cause__ = cause
        futures = together(batcher, service, "a", "b", "c")
        service.land(1)
        errors = [future.exception(PATIENCE) for future in futures]
        assert 3 == len(set(map(id, errors)))
        for error in errors:
            assert isinstance(error, BackendUnavailable)
            assert (error.message, error.hint, error.__cause__) == ("no answer", "later", cause)


def test_an_interrupted_waiter_takes_its_item_back() -> None:
    """An item whose caller was interrupted before it flew is not sent by somebody else later."""
    clock = Interrupting()
    with batching(clock=clock) as (batcher, service, _):
        first = in_thread(batcher.call, Item("first"))
        service.until_flown(1)
        victim = in_thread(batcher.call, Item("victim"))
        clock.until_waiting(1)
        clock.victims = {"victim"}
        clock.advance(A_MOMENT)
        assert KeyboardInterrupt is type(victim.exception(PATIENCE))
        service.release_all()
        assert "first stored" == first.result(PATIENCE)
        assert "last stored" == batcher.call(Item("last"))
        assert [["first"], ["last"]] == service.names


@pytest.mark.parametrize("victim", ["k2", "k3"])
def test_an_interrupted_waiter_makes_room_for_the_next_of_its_key(victim: str) -> None:
    """Whether it was the next of its key or stood behind it: the others of the key go on in order."""
    clock = Interrupting()
    with batching(clock=clock, max_flights=1) as (batcher, service, _):
        in_thread(batcher.call, Item("first"))
        service.until_flown(1)
        futures = {name: add(batcher, Item(name, key="k")) for name in ("k2", "k3", "k4")}
        clock.until_waiting(3)
        clock.victims = {victim}
        clock.advance(A_MOMENT)
        assert KeyboardInterrupt is type(futures.pop(victim).exception(PATIENCE))
        service.release_all()
        assert [f"{name} stored" for name in futures] == [future.result(PATIENCE) for future in futures.values()]
        assert [["first"], *([name] for name in futures)] == service.names


@pytest.mark.parametrize("key", [None, "k"])
@pytest.mark.parametrize("bounds", [{}, {"max_wait": timedelta(seconds=60)}])
@pytest.mark.parametrize(
    # Those without a `with`: the interpreter lets no interruption in between a block's end and the lock's release.
    "function",
    ["_add", "_enqueue", "_board", "_fly", "resolve", "_advance"],
)
def test_an_interruption_at_any_step_loses_nobody(function: str, key: str | None, bounds: dict[str, timedelta]) -> None:
    """A Ctrl-C wherever it strikes a call: the others' items fly or have an error, in order, and nothing is left."""
    step = 0
    interrupted = True
    while interrupted or step <= 20:  # 3.12 traces no bytecodes of a function the first time
        step += 1
        with batching(**bounds) as (batcher, service, _):
            service.release_all()
            with batcher._lock:
                passengers = [batcher._entry(Item(name, key)) for name in ("first", "second")]
                for passenger in passengers:
                    batcher._add(passenger)
            tracer = InterruptedAt(step, function)
            interrupted = tracer.run(lambda: batcher.call(Item("leader", "j")))
            assert "next stored" == in_thread(batcher.call, Item("next", key)).result(PATIENCE)
            assert all(passenger.landed for passenger in passengers), f"interrupted at step {step}"
            assert not batcher._waiting
            assert not batcher._waiting_bytes
            assert not batcher._behind
            assert not batcher._airborne
            assert not batcher._entries
            flown = [item.name for batch in service.batches for item in batch]
            assert Counter(flown) <= Counter(["first", "second", "leader", "next"])
            ordered = [name for name in flown if name != "leader"]
            assert [name for name in ("first", "second", "next") if name in flown] == ordered


# ── submit and its flusher threads ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("error", [None, BackendUnavailable("down")])
def test_what_is_posted_is_told_of(error: BackendUnavailable | None) -> None:
    """With its item and the result or the error, by a flusher that holds no lock: others may post meanwhile."""
    told: Future[list[object]] = Future()
    again: Future[str] = Future()
    with batching() as (batcher, service, _):

        def post_again(item: Item) -> str:
            batcher.post(item, lambda entry: again.set_result(entry.result))
            return "posted"

        def note(entry: Entry[Item, str]) -> None:
            in_thread(post_again, Item("b")).result(PATIENCE)
            told.set_result([entry.item.name, entry.error or entry.result])

        service.release_all()
        service.outcomes[0] = error or ["a stored"]
        batcher.post(Item("a"), note)
        assert ["a", error or "a stored"] == told.result(PATIENCE)
        assert "b stored" == again.result(PATIENCE)


def test_cancelling_a_submitted_future_changes_nothing() -> None:
    """`cancel` is refused, and the item is stored."""
    with batching() as (batcher, service, _):
        future = batcher.submit(Item("a"))
        assert future.cancel() is False
        service.release_all()
        assert "a stored" == future.result(PATIENCE)


def test_flusher_threads_end_when_idle_and_come_back() -> None:
    """After 5 s with nothing to do there is no thread left; the next submit starts one."""
    with batching() as (batcher, service, clock):
        service.release_all()
        batcher.submit(Item("a")).result(PATIENCE)
        clock.until_waiting(1)
        (thread,) = flushers(batcher)
        clock.advance(FLUSHER_IDLE - A_MOMENT)
        clock.until_waiting(1)
        assert thread.is_alive()
        clock.advance(FLUSHER_IDLE)
        thread.join(PATIENCE)
        assert [] == flushers(batcher)
        assert "b stored" == batcher.submit(Item("b")).result(PATIENCE)


def test_a_call_starts_no_thread() -> None:
    """Blocking callers make the calls themselves (a function that is frozen between requests needs that)."""
    with batching() as (batcher, service, _):
        service.release_all()
        batcher.call(Item("a"))
        assert [] == flushers(batcher)


def test_what_is_submitted_as_the_last_flusher_retires_flies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its thread takes a moment to end, and is no reason to say that no other one can be started."""
    with batching(max_flights=1) as (batcher, service, clock):
        retired, end = threading.Event(), threading.Event()
        run = batcher._run_flusher

        def run_and_linger() -> None:
            run()
            retired.set()
            end.wait(PATIENCE)

        monkeypatch.setattr(batcher, "_run_flusher", run_and_linger)
        service.release_all()
        assert "a stored" == batcher.submit(Item("a")).result(PATIENCE)
        until(lambda: clock.advance(FLUSHER_IDLE) or retired.is_set())
        assert "b stored" == batcher.submit(Item("b")).result(PATIENCE)
        end.set()


def test_at_most_as_many_flushers_as_flights() -> None:
    """Hundreds of submitted items are carried by a few threads."""
    with batching(max_flights=3, max_items=5) as (batcher, service, _):
        futures = [batcher.submit(Item(str(number))) for number in range(300)]
        service.until_flown(3)
        assert 3 == len(flushers(batcher))
        service.release_all()
        assert [f"{number} stored" for number in range(300)] == [future.result(PATIENCE) for future in futures]


@pytest.mark.parametrize("interruption", [SystemExit(1), KeyboardInterrupt()])
def test_a_flusher_survives_what_its_call_raises(interruption: BaseException) -> None:
    """Even a SystemExit out of a call leaves a flusher for what is submitted next."""
    with batching() as (batcher, service, _):
        service.outcomes = dict.fromkeys(range(8), interruption)
        service.release_all()
        for _ in range(8):  # more than there may be flushers
            error = batcher.submit(Item("a")).exception(PATIENCE)
            assert BackendUnavailable is type(error)
            assert interruption is error.__cause__
        assert "b stored" == batcher.submit(Item("b")).result(PATIENCE)


@pytest.mark.parametrize("interruption", [SystemExit, KeyboardInterrupt])
def test_a_flusher_survives_whatever_follows_its_call(interruption: type[BaseException]) -> None:
    """What is told raises each time it is told, be it a SystemExit: more often than there may be flights."""

    def leave(_: object) -> None:
        raise interruption

    with batching(max_flights=1, max_items=1) as (batcher, service, _):
        service.release_all()
        for _ in range(2):
            batcher.post(Item("a"), leave)
        assert "b stored" == batcher.submit(Item("b")).result(PATIENCE)


def test_a_second_interruption_while_the_first_is_cleared_up_strands_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two Ctrl-C, the second in the clean-up: the others' items have an error, and the next ones fly."""
    with batching(max_flights=1) as (batcher, service, _):
        service.outcomes[1] = KeyboardInterrupt()
        futures = together(batcher, service, "a", "b")
        crash, times = batcher._crash, itertools.count()

        def interrupted_once(*args: Any) -> None:
            if not next(times):
                raise KeyboardInterrupt
            crash(*args)

        monkeypatch.setattr(batcher, "_crash", interrupted_once)
        service.land(1)
        errors = [future.exception(PATIENCE) for future in futures]
        assert {KeyboardInterrupt, BackendUnavailable} == set(map(type, errors))
        service.release_all()
        assert "c stored" == in_thread(batcher.call, Item("c")).result(PATIENCE)


def test_an_interruption_while_results_are_handed_out_strands_nobody() -> None:
    """Those that have their result keep it; the others learn that their items may have been stored."""

    def interrupt(_: Future[str]) -> None:
        raise SystemExit

    with batching() as (batcher, service, _):
        batcher.submit(Item("first"))
        service.until_flown(1)
        futures = [batcher.submit(Item(name)) for name in "ab"]
        futures[0].add_done_callback(interrupt)
        service.release_all()
        assert "a stored" == futures[0].result(PATIENCE)
        assert BackendUnavailable is type(futures[1].exception(PATIENCE))
        assert "c stored" == batcher.submit(Item("c")).result(PATIENCE)


def test_without_a_thread_to_carry_it_an_item_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be started `submit` says so, and the item isn't sent by a later call."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with batching() as (batcher, service, _):
        service.release_all()
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                batcher.submit(Item("refused"))
        assert "b stored" == batcher.call(Item("b"))
        assert "c stored" == batcher.submit(Item("c")).result(PATIENCE)
        assert [["b"], ["c"]] == service.names


def test_a_flusher_that_gets_no_help_carries_everything_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no second thread can be started, the first one comes back for the rest."""
    real_start = threading.Thread.start
    started: list[str] = []

    def only_one(thread: threading.Thread) -> None:
        if started:
            raise RuntimeError("can't start new thread")
        started.append(thread.name)
        real_start(thread)

    with batching(max_items=1) as (batcher, service, clock):
        monkeypatch.setattr(threading.Thread, "start", only_one)
        batcher.submit(Item("first"))
        service.release_all()
        clock.until_waiting(1)
        with batcher._lock:  # so that all are there before the one idle flusher wakes
            futures = [batcher.submit(Item(name)) for name in "abc"]
        assert ["a stored", "b stored", "c stored"] == [future.result(PATIENCE) for future in futures]
        assert 1 == len(started)


def test_a_callback_may_submit_again() -> None:
    """A future's callback runs without the batcher's lock, so it may use the batcher, or block."""
    with batching(clock=FakeClock(patience=timedelta(seconds=PATIENCE))) as (batcher, service, _):
        service.release_all()
        again: Future[str] = Future()
        free = threading.Event()

        def resubmit(_: Future[str]) -> None:
            threading.Thread(target=lambda: (batcher._lock.acquire(), batcher._lock.release(), free.set())).start()
            assert free.wait(PATIENCE)
            batcher.submit(Item("again")).add_done_callback(lambda done: again.set_result(done.result()))

        batcher.submit(Item("a")).add_done_callback(resubmit)
        assert "again stored" == again.result(PATIENCE)


@pytest.mark.parametrize("bounds", [{"max_items": 0}, {"max_items": 1, "max_flights": 0}])
def test_bounds_of_zero_are_refused(bounds: dict[str, int]) -> None:
    """A batcher that could never fly is refused when it is made."""
    with pytest.raises(ValueError, match="at least 1"):
        Batcher(list, **bounds)  # type: ignore[arg-type]


# ── random interleavings ─────────────────────────────────────────────────────────────────────────────────

_adds = st.tuples(st.sampled_from(["call", "submit"]), st.sampled_from([None, None, "k", "j"]), st.integers(0, 12))
_steps = st.one_of(_adds, _adds, st.just("land"), st.just("fail"), st.just("advance"))


@given(
    steps=st.lists(_steps, max_size=14),
    max_items=st.integers(1, 4),
    max_flights=st.integers(1, 3),
    max_bytes=st.sampled_from([None, 10]),
)
@settings(max_examples=150, deadline=None)
def test_whatever_the_interleaving_every_item_flies_once_within_the_bounds(
    steps: list[object], max_items: int, max_flights: int, max_bytes: int | None
) -> None:
    """Each item flies exactly once, a key's in order, no batch or number of flights too large, and nobody is left.

    Some flights end in a KeyboardInterrupt of the thread that makes the call.
    """
    with batching(max_items=max_items, max_flights=max_flights, max_bytes=max_bytes) as (batcher, service, clock):
        futures: list[Future[str]] = []
        items: list[Item] = []
        for step in steps:
            if isinstance(step, tuple):
                how, key, size = step
                item = Item(str(len(items)), key, size)
                items.append(item)
                futures.append(add(batcher, item) if how == "call" else batcher.submit(item))
            elif step == "advance":
                clock.advance(STALL)
            elif service.flying:
                flight = min(service._flying)
                if step == "fail":
                    service.outcomes[flight] = KeyboardInterrupt()
                service.land(flight)
        # From here on landings alone must carry everybody home: no time passes.
        deadline = time.monotonic() + PATIENCE
        while not all(future.done() for future in futures):
            assert time.monotonic() < deadline, (service.names, items)
            service.land_what_flies()
            time.sleep(0.0005)
        flown = [item for batch in service.batches for item in batch]
        # Whoever was interrupted while it led a call without its own item took that item back.
        interrupted = [type(future.exception()) is KeyboardInterrupt for future in futures]
        items = [item for item, gone in zip(items, interrupted, strict=True) if item in flown or not gone]
        assert Counter(items) == Counter(flown)
        for key in ("k", "j"):
            assert [item for item in items if item.key == key] == [item for item in flown if item.key == key]
        assert all(len(batch) <= max_items for batch in service.batches)
        if max_bytes is not None:
            assert all(len(batch) == 1 or sum(item.size for item in batch) <= max_bytes for batch in service.batches)
        assert service.most_at_once <= max_flights


@pytest.mark.slow
def test_under_load_with_real_time_nobody_is_left_behind() -> None:
    """Callers and submitters of a few keys, short real flights, some failing: everybody comes home, in order."""
    order: dict[str, list[int]] = {"k": [], "j": []}
    flown = 0
    lock = threading.Lock()

    def flush(items: Sequence[Item]) -> list[str]:
        nonlocal flown
        with lock:
            flown += len(items)
            for item in items:
                if item.key:
                    order[item.key].append(int(item.name))
        time.sleep(0.0003 * (len(items) % 3))
        return [item.name for item in items]

    batcher: Batcher[Item, str] = Batcher(flush, max_items=3, max_bytes=20, size=len, key=lambda item: item.key)

    def work(thread: int) -> None:
        key = {0: "k", 1: "j"}.get(thread)
        pending = []
        for number in range(300):
            item = Item(str(number), key)
            if number % 3:
                pending.append((item, batcher.submit(item)))
            else:
                assert item.name == batcher.call(item)
        assert all(item.name == future.result(PATIENCE) for item, future in pending)
        done.append(thread)

    done: list[int] = []
    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
    started = SYSTEM_CLOCK.now()
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert list(range(8)) == sorted(done)
    assert 8 * 300 == flown
    assert {"k": list(range(300)), "j": list(range(300))} == order
    assert SYSTEM_CLOCK.now() - started < timedelta(seconds=PATIENCE)


# ── what waits for too long ──────────────────────────────────────────────────────────────────────────────

TEN = timedelta(seconds=10)


def test_a_caller_that_waits_for_too_long_takes_its_item_back() -> None:
    """It is told that nothing was sent, and no later call carries it."""
    with batching(max_flights=1, max_wait=TEN) as (batcher, service, clock):
        first = in_thread(batcher.call, Item("hangs"))
        service.until_flown(1)
        late = in_thread(batcher.call, Item("late"))
        clock.until_waiting(1)
        clock.advance(TEN - A_MOMENT)
        clock.until_waiting(1)
        assert not late.done()
        clock.advance(A_MOMENT)
        with pytest.raises(BackendUnavailable, match="not sent: for 10 s the calls before it got no answer"):
            late.result(PATIENCE)
        service.land(0)
        assert "hangs stored" == first.result(PATIENCE)
        assert [["hangs"]] == service.names


def test_an_item_in_flight_is_waited_for_however_long_it_takes() -> None:
    """The call that carries it has a deadline of its own; to take the item back would say what isn't true."""
    with batching(max_wait=TEN) as (batcher, service, clock):
        in_thread(batcher.call, Item("leads"))
        service.until_flown(1)
        first = add(batcher, Item("a"))
        second = add(batcher, Item("b"))
        clock.until_waiting(2)
        clock.advance(STALL)
        service.until_flown(2)
        clock.until_waiting(1)
        clock.advance(TEN * 6)
        service.land(0, 1)
        assert ["a stored", "b stored"] == [first.result(PATIENCE), second.result(PATIENCE)]


def test_a_submitted_item_that_waited_for_too_long_is_left_behind() -> None:
    """Those that are in time fly; the next of its ordering key may fly."""
    with batching(max_flights=1, max_wait=TEN) as (batcher, service, clock):
        in_thread(batcher.call, Item("hangs"))
        service.until_flown(1)
        old = batcher.submit(Item("old", key="k"))
        clock.advance(TEN + A_MOMENT)
        behind, fresh = batcher.submit(Item("behind", key="k")), batcher.submit(Item("fresh"))
        service.release_all()
        with pytest.raises(BackendUnavailable, match="not sent"):
            old.result(PATIENCE)
        assert ["behind stored", "fresh stored"] == [behind.result(PATIENCE), fresh.result(PATIENCE)]
        assert {"hangs", "behind", "fresh"} == {name for batch in service.names for name in batch}


def test_a_key_whose_item_was_taken_back_flies_on() -> None:
    """The one behind it is the first of its key then."""
    with batching(max_flights=1, max_wait=TEN) as (batcher, service, clock):
        in_thread(batcher.call, Item("hangs"))
        service.until_flown(1)
        late = add(batcher, Item("late", key="k"))
        clock.until_waiting(1)
        clock.advance(TEN / 2)
        behind = add(batcher, Item("behind", key="k"))
        clock.until_waiting(2)
        clock.advance(TEN / 2)
        with pytest.raises(BackendUnavailable, match="not sent"):
            late.result(PATIENCE)
        service.release_all()
        assert "behind stored" == behind.result(PATIENCE)


class Unasked(FakeClock):
    """A clock that nobody is to look at."""

    def elapsed(self) -> timedelta:
        raise AssertionError("somebody asked for the time")


def test_a_sender_by_itself_takes_off_at_once() -> None:
    """With nobody else there, a call asks for no time and leaves nothing behind, whatever keys its items have."""
    batcher: Batcher[int, int] = Batcher(
        lambda items: items, max_items=10, key=lambda item: item % 2, max_wait=timedelta(seconds=1), clock=Unasked()
    )
    assert [1, 2, 3, 5] == [batcher.call(item) for item in (1, 2, 3, 5)]
    assert [0, 0, 0, 0] == [
        len(kept) for kept in (batcher._entries, batcher._behind, batcher._airborne, batcher._waiting)
    ]
