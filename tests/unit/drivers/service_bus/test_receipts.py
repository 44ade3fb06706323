"""One settlement at a time, and none after a confirmed one."""

from __future__ import annotations

import threading
from typing import Any

from cloudq.drivers.service_bus.receipts import Progress, Receipt


def receipt() -> Receipt:
    nothing: Any = None
    return Receipt(nothing, nothing)


def test_a_settlement_that_failed_may_be_tried_again() -> None:
    """Until it is confirmed; then nothing is begun any more."""
    one = receipt()
    assert one.begin(Progress.SETTLING)
    assert not one.begin(Progress.RELEASING)
    assert Progress.SETTLING is one.progress
    one.end(confirmed=False)
    assert one.begin(Progress.RELEASING)
    one.end(confirmed=True)
    assert Progress.OVER is one.progress
    assert not one.begin(Progress.SETTLING)


def test_one_of_many_begins() -> None:
    """However many threads are at it."""
    one, begun = receipt(), list[bool]()
    start = threading.Barrier(8)

    def work() -> None:
        start.wait(60)
        begun.append(one.begin(Progress.SETTLING))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [False] * 7 + [True] == sorted(begun)
