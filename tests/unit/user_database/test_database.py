"""The sides that a connection doesn't have."""

from __future__ import annotations

import asyncio

import pytest

from cloudq.errors import TransactionRefused
from cloudq.user_database.database import NoAsync, NoSync
from cloudq.user_database.statements import Move


class TestSides:
    def test_a_sync_connection_is_not_awaited(self) -> None:
        """The hint says how it is used."""
        assert not NoAsync().is_async
        with pytest.raises(TransactionRefused, match="hint: with, not async with"):
            asyncio.run(NoAsync().ado(Move.BEGIN))

    def test_an_async_connection_is(self) -> None:
        """The hint says how it is used."""
        assert NoSync().is_async
        with pytest.raises(TransactionRefused, match="hint: async with"):
            NoSync().do(Move.BEGIN)
