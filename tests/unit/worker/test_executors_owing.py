"""What the runs of a worker's threads owe: noted together, before their messages are acknowledged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest
from tenacity import stop_after_attempt, wait_fixed

from cloudq.app import App
from cloudq.core.driver import Final, SettleResult
from cloudq.core.notes import Note, NoteWrite, Written
from cloudq.core.owed_notes import OWED, OwedNote, OwedNotes
from cloudq.core.policy import RetryPolicy
from cloudq.drivers.memory import MemoryDriver
from cloudq.stores.memory.notes import MemoryNotes
from cloudq.testing.clock import FakeClock
from cloudq.worker.pace import Pace
from tests.unit.worker.fakes import running, until

DAY = timedelta(days=1)


class Steps(MemoryDriver):
    """Says in which order notes are written and messages acknowledged."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[tuple[str, int]] = []

    def settle(self, finals: Sequence[Final]) -> Sequence[SettleResult]:
        self.steps.append(("settled", len(finals)))
        return super().settle(finals)

    def count(self, what: str) -> int:
        return sum(number for step, number in self.steps if step == what)


class Noted(MemoryNotes):
    """As above."""

    def __init__(self, driver: Steps) -> None:
        super().__init__(FakeClock())
        self._driver = driver
        self.names: list[str] = []

    def write_together(self, writes: Sequence[NoteWrite]) -> Sequence[Written | Note | None]:
        self._driver.steps.append(("noted", len(writes)))
        self.names += [write.name for write in writes]
        return super().write_together(writes)

    def owed(self, name: str) -> OwedNote:
        return OwedNote(self, NoteWrite(name=name, text=b"", after=0, keep=DAY), lambda _: None)


class Short(Pace):
    """Whatever it measures."""

    @property
    def is_short(self) -> bool:
        return True


def present() -> OwedNotes:
    """What this run owes."""
    owed = OWED.get()
    assert owed is not None
    return owed


@pytest.fixture
def driver() -> Steps:
    return Steps()


@pytest.fixture
def app(driver: Steps) -> Iterator[App]:
    app = App("memory://", retry=RetryPolicy(stop=stop_after_attempt(1), wait=wait_fixed(0)))
    with app.using(driver):
        yield app


@pytest.fixture
def in_series(monkeypatch: pytest.MonkeyPatch) -> None:
    """All tasks are short, and the lookout never thinks that one isn't."""
    monkeypatch.setattr("cloudq.worker.executors.Pace", Short)
    for name in ("LONG", "LONGEST_KEPT", "LONGEST_UNNOTED"):
        monkeypatch.setattr(f"cloudq.worker.lookout.{name}", timedelta(hours=1))


@pytest.mark.usefixtures("in_series")
def test_a_series_is_noted_by_one_write_and_settled_by_one_call(app: App, driver: Steps) -> None:
    """In that order; and of each run only how it ended."""
    notes = Noted(driver)

    @app.task("ends")
    def ends(number: int) -> None:
        present().begin(notes.owed(f"{number} begins"))
        present().end(notes.owed(f"{number} ends"))

    for number in range(10):
        ends.send(number=number)
    with running(app, concurrency=10):
        until(lambda: driver.count("settled") == 10)
    counts = [number for step, number in driver.steps if step == "noted"]
    assert [one for number in counts for one in (("noted", number), ("settled", number))] == driver.steps
    assert 1 <= len(counts) < 5  # a busy machine may make two series of it
    assert [f"{number} ends" for number in range(10)] == sorted(notes.names)


def test_what_is_not_in_a_series_is_noted_before_its_ack_too(app: App, driver: Steps) -> None:
    """By the flusher that acknowledges it; that it began can't wait, as nobody looks after that."""
    notes = Noted(driver)
    waited: list[bool] = []

    @app.task("ends")
    def ends() -> None:
        waited.append(present().begin(notes.owed("begins")))
        present().end(notes.owed("ends"))

    ends.send()
    with running(app, concurrency=1):
        until(lambda: driver.count("settled") == 1)
    assert [("noted", 1), ("settled", 1)] == driver.steps
    assert [False] == waited


@pytest.mark.parametrize("owes", [True, False])
def test_it_is_remembered_whether_the_latest_run_owes_something(
    app: App, driver: Steps, monkeypatch: pytest.MonkeyPatch, owes: bool
) -> None:
    """Then its task counts as short sooner."""
    paces: list[Pace] = []

    class Told(Pace):
        def __init__(self) -> None:
            super().__init__()
            paces.append(self)

    monkeypatch.setattr("cloudq.worker.executors.defaultdict", lambda _: defaultdict(Told))
    notes = Noted(driver)

    @app.task("ends")
    def ends() -> None:
        if owes:
            present().end(notes.owed("ends"))

    ends.send()
    with running(app, concurrency=1):
        until(lambda: driver.count("settled") == 1)
    assert [owes] == [pace.owes for pace in paces]


def test_what_fails_after_all_is_noted_before_its_copy(app: App, driver: Steps) -> None:
    """Nothing waits for what isn't acknowledged: another attempt may begin at once."""
    notes = Noted(driver)

    @app.task("fails")
    def fails() -> None:
        present().end(notes.owed("ends"))
        raise ValueError

    fails.send()
    with running(app, concurrency=1):
        until(lambda: app.queue("default").stats().dead == 1)
    assert ("noted", 1) == driver.steps[0]


@pytest.mark.parametrize("spent", [0.0, 3600.0])
def test_what_would_wait_in_a_series_does_not_make_a_task_long(
    app: App, driver: Steps, monkeypatch: pytest.MonkeyPatch, spent: float
) -> None:
    """Else a task whose store is slower than itself would never be found short."""
    measured: list[tuple[float, float]] = []

    class Told(Pace):
        def note(self, seconds: float, waited: float = 0.0) -> None:
            measured.append((seconds, waited))

    monkeypatch.setattr("cloudq.worker.executors.Pace", Told)

    @app.task("spends")
    def spends() -> None:
        present().spent += spent

    spends.send()
    with running(app, concurrency=1):
        until(lambda: driver.count("settled") == 1)
    [(seconds, waited)] = measured
    assert (seconds > 0, waited <= seconds) == ((True, True) if spent == 0 else (False, True))


def test_each_run_owes_for_itself(app: App, driver: Steps) -> None:
    """Async tasks owe nothing: what they note is noted at once."""
    seen: list[OwedNotes | None] = []

    @app.task("looks")
    def looks() -> None:
        seen.append(OWED.get())

    @app.task("alooks")
    async def alooks() -> None:
        seen.append(OWED.get())

    looks.send()
    looks.send()
    alooks.send()
    with running(app, concurrency=1):
        until(lambda: driver.count("settled") == 3)
    assert 2 == len({id(one) for one in seen if one is not None})
    assert seen.count(None) == 1
