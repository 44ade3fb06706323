"""A body of any client's is handed over: what can't be read is dead-lettered by who reads it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from cloudq.drivers.service_bus.receiving import body_of


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (b"{}", b"{}"),
        ("{}", b"{}"),
        (iter([b"{", b"}"]), b"{}"),
        ([memoryview(b"{}")], b"{}"),
        (None, b"None"),
        (5, b"5"),
        ([[1, 2]], b"[[1, 2]]"),
        ([10**30], b"[1000000000000000000000000000000]"),
        ([5_000_000_000], b"[5000000000]"),
        ({"a": 1}, b"{'a': 1}"),
    ],
)
def test_a_body_is_bytes(body: object, read: bytes) -> None:
    """Also where another client sent a number, a list or nothing: it must not hold up what came with it."""
    message: Any = SimpleNamespace(body=body)
    assert body_of(message) == read
