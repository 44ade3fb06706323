"""A Ctrl-C in the middle of a command that stores copies."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from cloudq.core.driver import Outgoing, SendResult
from cloudq.queues.cloud_queue import CloudQueue


def interrupt_storing(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Has the storing of copies of that number, from 1, be interrupted before anything of it is stored."""
    store, calls = CloudQueue.store_copies, 0

    def interrupted(self: CloudQueue, copies: Sequence[Outgoing]) -> list[SendResult]:
        nonlocal calls
        calls += 1
        if calls == number:
            raise KeyboardInterrupt
        return store(self, copies)

    monkeypatch.setattr(CloudQueue, "store_copies", interrupted)
