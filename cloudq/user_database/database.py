"""`UserDatabase`: a connection of the user's, whatever library it is of."""

from __future__ import annotations

from typing import Protocol

from cloudq.user_database import refusals
from cloudq.user_database.statements import Answer, Dialect, Step


class UserDatabase(Protocol):
    """A connection of the user's. A sync one has `do`, an async one `ado`; the other raises `TransactionRefused`."""

    @property
    def dialect(self) -> Dialect:
        """Whose SQL it speaks."""
        ...

    @property
    def is_async(self) -> bool:
        """Whether its steps are awaited."""
        ...

    @property
    def given(self) -> object:
        """What the user gave, or Django's connection where they gave its alias."""
        ...

    def do(self, step: Step, /) -> Answer:
        """Carries a step out. Raises the driver's own errors."""
        ...

    async def ado(self, step: Step, /) -> Answer:
        """As `do`, on an async connection."""
        ...


class NoAsync:
    """The async side of a sync connection."""

    @property
    def is_async(self) -> bool:
        """It isn't."""
        return False

    async def ado(self, _step: Step, /) -> Answer:
        """There is none."""
        raise refusals.not_async()


class NoSync:
    """The sync side of an async connection."""

    @property
    def is_async(self) -> bool:
        """It is."""
        return True

    def do(self, _step: Step, /) -> Answer:
        """There is none."""
        raise refusals.not_sync()
