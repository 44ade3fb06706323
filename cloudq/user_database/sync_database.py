"""`SyncDatabase`: what the sync connections of all libraries have in common: which method carries out which step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from cloudq.user_database.database import NoAsync
from cloudq.user_database.statements import NOTHING, Answer, Move, Statement, Step


class SyncDatabase(NoAsync, ABC):
    """A sync connection: a `UserDatabase`, once it has its `dialect`.

    Args:
        given: What the user gave, which commits and rolls back.
    """

    def __init__(self, given: Any) -> None:
        self.given = given

    def do(self, step: Step, /) -> Answer:
        """Carries a step out."""
        match step:
            case Move.BEGIN:
                self._begin()
            case Move.JOIN:
                self._join()
            case Move.STAY:
                self._stay()
            case Move.FLUSH:
                self._flush()
            case Move.COMMIT:
                self.given.commit()
            case Move.ROLLBACK:
                self.given.rollback()
            case Statement():
                return self._execute(step)
        return NOTHING

    # What these do, and raise, is said of the `Move` that each is named after.

    @abstractmethod
    def _begin(self) -> None: ...

    @abstractmethod
    def _join(self) -> None: ...

    @abstractmethod
    def _stay(self) -> None: ...

    def _flush(self) -> None:  # a connection keeps nothing to itself
        pass

    @abstractmethod
    def _execute(self, statement: Statement) -> Answer: ...
