"""Each step of a sync connection has its method."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest

from cloudq.user_database.statements import NOTHING, Answer, Move, Statement
from cloudq.user_database.sync_database import SyncDatabase


class Noted(SyncDatabase):
    """Notes what is done."""

    def __init__(self, given: Any) -> None:
        super().__init__(given)
        self.did: list[object] = []

    def _begin(self) -> None:
        self.did.append(Move.BEGIN)

    def _join(self) -> None:
        self.did.append(Move.JOIN)

    def _stay(self) -> None:
        self.did.append(Move.STAY)

    def _execute(self, statement: Statement) -> Answer:
        self.did.append(statement)
        return Answer([(1,)], 1)


@pytest.mark.parametrize("move", list(Move), ids=lambda move: move.value)
def test_each_move_is_made_and_answers_nothing(move: Move) -> None:
    """What ends a transaction is the connection's own; nothing has to be flushed on it."""
    given = mock.Mock(spec=["commit", "rollback"])
    database = Noted(given)
    assert NOTHING is database.do(move)
    done = [*database.did, *(Move(name) for name, *_ in given.method_calls)]
    assert ([] if move is Move.FLUSH else [move]) == done


def test_a_statement_has_its_answer() -> None:
    """As it is."""
    database, statement = Noted(None), Statement("select 1")
    assert Answer([(1,)], 1) == database.do(statement)
    assert [statement] == database.did
    assert not database.is_async
