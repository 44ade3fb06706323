"""cloudq's side of the stores' benchmark: a claim and its completion, in any store."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from cloudq.core.store import Claimed, ClaimKey
from cloudq.stores.opening import open_store
from tests.benchmarks.stores_place import URL, main

LEASE: Final = timedelta(minutes=2)
KEEP: Final = timedelta(days=28)
FINGERPRINT: Final = b"f" * 32


def prepared() -> Callable[[int], object]:
    """Opens the store."""
    store = open_store(URL, namespace="bench")
    turn = os.urandom(8).hex()

    def once(number: int) -> None:
        key = ClaimKey("billing.charge", f"order-{turn}-{number}")
        claimed = store.claim(key, owner=f"host:4711:{number}", lease=LEASE, fingerprint=FINGERPRINT, keep=KEEP)
        assert isinstance(claimed, Claimed)
        assert store.complete(key, claimed.token, result=None, keep=KEEP)

    return once


if __name__ == "__main__":
    main(prepared)
