"""What is kept of a task, in a store's notes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cloudq.core.notes import LARGEST_NOTE
from cloudq.errors import BackendError, StoreUnavailable
from cloudq.integrations.django.results import FAILED, READY, RUNNING, SUCCESSFUL, Kept, KeptError, KeptResults, workers
from cloudq.testing import in_memory

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FRESH = Kept(task="a.b", queue="default", backend="default", args=[1])


@pytest.fixture
def notes() -> Any:
    """The notes of a store in memory."""
    from cloudq import App

    app = App("memory://")
    with in_memory(app):
        yield app.runtime.results.store("results").notes


@pytest.fixture
def kept(notes: Any) -> KeptResults:
    """Over these."""
    return KeptResults(lambda: notes, timedelta(days=1))


def test_from_its_send_to_its_end(kept: KeptResults) -> None:
    """Each step is seen."""
    assert kept.look("1") is None
    kept.add("1", FRESH)
    assert FRESH == kept.look("1")
    begun, version = kept.begin("1", FRESH, "w", 1, NOW)
    assert begun == kept.look("1")
    assert (RUNNING, NOW, ["w"]) == (begun.status, begun.started_at, begun.workers)
    assert kept.end("1", Kept(task="a.b", queue="q", backend="b", status=SUCCESSFUL, value=[1]), after=version)
    ended = kept.look("1")
    assert ended is not None
    assert (SUCCESSFUL, [1]) == (ended.status, ended.value)


def test_a_loss_of_power_may_only_take_what_has_no_end_yet(
    kept: KeptResults, notes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message is still there, and notes itself anew; so only how an attempt ended has to be flushed to a disk."""
    durable: list[bool] = []
    write = notes.write

    def watched(*arguments: Any, **options: Any) -> Any:
        durable.append(options["durable"])
        return write(*arguments, **options)

    monkeypatch.setattr(notes, "write", watched)
    kept.add("1", FRESH)
    begun, version = kept.begin("1", FRESH, "w", 1, NOW)
    kept.end("1", begun, after=version)
    assert [False, False, True] == durable


def test_a_worker_that_is_faster_than_the_sender_is_not_overwritten(kept: KeptResults) -> None:
    """What it noted is later."""
    kept.begin("1", FRESH, "w", 1, NOW)
    kept.add("1", FRESH)
    seen = kept.look("1")
    assert seen is not None
    assert RUNNING == seen.status


def test_an_attempt_that_was_overtaken_notes_nothing(kept: KeptResults) -> None:
    """Its lease was lost, and another worker has begun."""
    _, first = kept.begin("1", FRESH, "w", 1, NOW)
    second, _ = kept.begin("1", FRESH, "v", 2, NOW)
    assert ["w", "v"] == second.workers
    assert 0 == kept.end("1", Kept(task="a.b", queue="q", backend="b", status=FAILED), after=first)
    assert second == kept.look("1")


def test_what_is_too_large_is_known_without_its_values(kept: KeptResults) -> None:
    """A note is bounded; its status is what matters most."""
    version = kept.begin("1", FRESH, "w", 1, NOW).version
    large = Kept(task="a.b", queue="q", backend="b", status=SUCCESSFUL, value="x" * LARGEST_NOTE, errors=[])
    assert kept.end("1", large, after=version)
    seen = kept.look("1")
    assert seen is not None
    assert (SUCCESSFUL, None) == (seen.status, seen.value)


def test_errors_are_bounded(kept: KeptResults) -> None:
    """The latest are kept: a policy may allow any number of attempts."""
    version = kept.begin("1", FRESH, "w", 1, NOW).version
    errors = [KeptError(f"a.E{number}", "") for number in range(30)]
    kept.end("1", Kept(task="a.b", queue="q", backend="b", status=READY, errors=errors), after=version)
    seen = kept.look("1")
    assert seen is not None
    assert (20, "a.E29") == (len(seen.errors), seen.errors[-1].kind)


def test_a_store_that_fails_ends_no_send_and_no_run(caplog: pytest.LogCaptureFixture) -> None:
    """Both are told by the queue; who looks a result up learns it."""

    class Down:
        def read(self, name: str) -> None:
            raise StoreUnavailable("down")

        def write(self, *_: object, **__: object) -> None:
            raise StoreUnavailable("down")

    kept = KeptResults(Down, timedelta(days=1))  # type: ignore[arg-type]  # sweeping has no part in it
    kept.add("1", FRESH)
    begun, version = kept.begin("1", FRESH, "w", 2, NOW)
    assert (["unknown", "w"], 0) == (begun.workers, version)
    assert "couldn't be noted: down" in caplog.text
    with pytest.raises(StoreUnavailable):
        kept.look("1")


def test_what_another_version_wrote(notes: Any, kept: KeptResults) -> None:
    """Is an error of the store's, and no crash."""
    notes.write("django:1", b"[]", after=0, keep=timedelta(days=1))
    with pytest.raises(BackendError, match="can't be read"):
        kept.look("1")


def test_there_is_a_worker_for_each_attempt() -> None:
    """Django counts attempts by them."""
    assert ["w"] == workers([], "w", 1)
    assert ["a", "w"] == workers(["a"], "w", 2)
    assert ["unknown", "unknown", "w"] == workers([], "w", 3)
    assert ["w"] == workers(["a", "b"], "w", 1)  # it was redriven, and begins anew
