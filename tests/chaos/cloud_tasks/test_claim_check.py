"""A payload too large for a task's message, through the push worker's process."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudq import App
from cloudq.emulators.cloud_tasks import CloudTasksEmulator
from tests.chaos.cloud_tasks.stand import Stand
from tests.integration.processes import wait_until

pytestmark = pytest.mark.slow


def test_a_large_payload_is_fetched_where_it_is_pushed_to(
    tmp_path: Path, emulator: CloudTasksEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task holds a reference of a few hundred bytes, the worker fetches what it refers to, and acks."""
    store = f"file://{tmp_path}/blobs"
    with Stand(tmp_path, emulator, monkeypatch, CLOUDQ_CLAIM_CHECK=store) as stand:
        with_store = App(stand.url, claim_check=store)
        try:
            with_store.send("large", {"n": 1, "text": "ab" * 100_000})
        finally:
            with_store.close()
        stand.start()
        wait_until(lambda: stand.effects() == {1: 1}, within=60, what="it has run")
        stand.wait_empty(60)
        assert 200 == emulator.attempts()[-1].status
        assert 1 == len(list((tmp_path / "blobs").rglob("*.json")))
        assert 0 == stand.app.queue("default").stats().dead
