"""Large payloads through worker processes: threads and children, on SQLite, with a store in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

import cloudq
from tests.integration.processes import wait_until, worker

TASKS = """
import hashlib
from datetime import timedelta
from pathlib import Path
from tenacity import stop_after_attempt, wait_fixed
import cloudq

app = cloudq.App("sqlite:///queue.db", retry=cloudq.RetryPolicy(stop=stop_after_attempt(2), wait=wait_fixed(0)))


def note(name, text):
    Path(f"{name}.done").write_text(hashlib.sha256(text.encode()).hexdigest())


@app.task("sync", time_limit=timedelta(seconds=30))
def sync(text: str) -> None:
    note("sync", text)
    relay.send(text=text[::-1])


@app.task("relay")
async def relay(text: str) -> None:
    note("relay", text)


@app.task("broken")
def broken(text: str) -> None:
    raise ValueError("no")
"""

TEXT = "0123456789" * 200_000  # twice what SQLite takes


@pytest.mark.slow
@pytest.mark.parametrize("mode", [["--concurrency", "2"], ["--processes", "1"]], ids=["threads", "processes"])
def test_a_large_payload_in_a_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: list[str]) -> None:
    """Fetched where the task runs, sync or async; sent on from there; in a dead letter it is a reference."""
    monkeypatch.chdir(tmp_path)
    store = f"file://{tmp_path}/blobs?threshold=2048"
    (tmp_path / "tasks.py").write_text(TASKS)
    app = cloudq.App(f"sqlite:///{tmp_path}/queue.db", claim_check=store)
    for name in ("sync", "broken"):
        app.send(name, {"text": TEXT})
    blobs = list((tmp_path / "blobs").rglob("*.json"))
    assert [len(TEXT) + 11] * 2 == [path.stat().st_size for path in blobs]
    with worker(tmp_path, "--app", "tasks", *mode, CLOUDQ_CLAIM_CHECK=store) as process:
        wait_until(
            lambda: (tmp_path / "relay.done").exists() and app.queue("default").stats().dead == 1,
            within=60,
            what="all done",
        )
        assert process.poll() is None
    assert (tmp_path / "sync.done").read_text() != (tmp_path / "relay.done").read_text()
    (dead,) = app.queue("default").dead_letters
    assert "gave up after 2 attempts: ValueError: no" == (dead.failure and dead.failure.reason)
    assert dead.message is not None
    assert len(TEXT) + 11 == (dead.message.reference and dead.message.reference.size)
    assert 3 == len(list((tmp_path / "blobs").rglob("*.json"))), "settling deletes nothing"
    app.close()
