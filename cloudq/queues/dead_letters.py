"""`DeadLetters`: look at what failed for good, send it again, or throw it away. Portable over every driver."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from cloudq.core.clock import Clock
from cloudq.core.delivery import Delivery
from cloudq.core.driver import (
    Capabilities,
    DeadLetterMover,
    DeadLetterQueue,
    Outgoing,
    Refusal,
    SendResult,
)
from cloudq.core.refusals import refused
from cloudq.core.shield import shielded
from cloudq.errors import OptionError, UnsupportedError
from cloudq.queues.letters.copying import Copier
from cloudq.queues.letters.editing import Change, Editor, Means, tried
from cloudq.queues.letters.exchange import Importer
from cloudq.queues.letters.groups import DeadGroup
from cloudq.queues.letters.looking import Looking, bound_of
from cloudq.queues.letters.moving import Move
from cloudq.queues.letters.pace import Pace
from cloudq.queues.letters.redriving import PAGE, Progress, Redriven, Redriver
from cloudq.queues.letters.where import Where

__all__ = ["PAGE", "DeadGroup", "DeadLetters", "Move", "Redriven", "Where"]

# Of a purge of chosen ones: what is taken has to be deleted while the lease on it lasts.
_PURGED_AT_ONCE = 1_000


class DeadLetters(Looking):
    """The dead letters of one queue. Obtained by `app.queue("name").dead_letters`.

    Which of them a method is about is said by their `key`s, or by a condition (`where`), whose words are those of
    `Where.parse`; `limit` is at most how many of these, the oldest first.

    What is sent again is stored in its queue first and deleted here after. So a crash in between leaves a message in
    both places, never in none, and to go on is to call the same again: what was sent again is no longer here. Two
    callers at once: a dead letter that one of them has taken is `missed` by the other; where the backend has no leases
    for dead letters (Google Cloud Tasks) both make the same copy, of which one is stored.
    """

    def __init__(
        self,
        queue: str,
        dead: DeadLetterQueue,
        store: Callable[[Sequence[Outgoing]], Sequence[SendResult]],
        capabilities: Capabilities,
        clock: Clock,
        *,
        mover: DeadLetterMover | None = None,
        means: Means | None = None,
    ) -> None:
        super().__init__(queue, dead, clock)
        self._mover = mover
        self._store = store
        self._capabilities = capabilities
        self._means = means or Means()

    def __repr__(self) -> str:
        """The queue's name."""
        return f"DeadLetters({self.queue!r})"

    def redrive(
        self,
        keys: Sequence[str] | None = None,
        *,
        where: Where | str | None = None,
        limit: int | None = None,
        rate: float | None = None,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> Redriven:
        """Sends dead letters to their queue again, with all attempts before them, then deletes them here.

        They keep their id and their trace; each says how often it was redriven. Chosen are those that are here at the
        start: what dies again while this runs isn't taken twice. If the backend fails half way, that is one of the
        result's `errors`, and what was done is said.

        Args:
            keys: Those to redrive; `None` for all, or those of `where`.
            where: A condition; not together with `keys`.
            limit: At most this many.
            rate: At most this many a second, evenly; `None` for as fast as it goes.
            dry_run: Whether only to say how many would be `chosen`.
            progress: Called with what was done so far after each batch.

        Raises:
            UnsupportedError: Nothing can be sent to this queue.
            OptionError: The condition, or the rate, means nothing, or the keys are no list of texts.
        """
        self._refuse_unless_sendable()
        chosen = self._chosen(keys, where, limit)
        if dry_run:
            return Redriven(redriven=0, chosen=len(chosen))
        return self._redrive(self._copier().copy, chosen, rate, progress)

    def edit(
        self,
        change: Change,
        keys: Sequence[str] | None = None,
        *,
        by: str,
        where: Where | str | None = None,
        limit: int | None = None,
        rate: float | None = None,
        dry_run: bool = False,
        vouch: bool = False,
        unchecked: bool = False,
        progress: Progress | None = None,
    ) -> Redriven:
        """As `redrive`, with each message changed on its way, and a note in it of when, by whom and what.

        A record of its idempotency key that was made of the payload before is taken for one of this work.

        Args:
            change: Gives the changed message for the dead one: `lambda message: msgspec.structs.replace(...)`. What it
                may change: task, payload, idempotency_key, fairness_key, headers, expires_at.
            keys: As for `redrive`.
            by: Who edits.
            where: As for `redrive`.
            limit: As for `redrive`.
            rate: As for `redrive`.
            dry_run: Whether only to look which of those that are `chosen` can be edited: `errors` are of the others.
            vouch: Sign also messages whose signature doesn't fit one of the app's keys, or that have none.
            unchecked: Whether another task may be one that the app doesn't declare, for a worker of another program. If
                not, it is refused once the app has loaded its tasks, as it has for the shell command.
            progress: As for `redrive`.

        Raises:
            UnsupportedError: Nothing can be sent to this queue.
            OptionError: The condition, or the rate, means nothing, or the keys are no list of texts.
        """
        self._refuse_unless_sendable()
        editor = Editor(change, by=by, means=self._means, clock=self._clock, vouch=vouch, unchecked=unchecked)
        if dry_run:
            return tried(editor, self._listed(keys, where, limit))
        copier = self._copier()
        return self._redrive(
            lambda dead: copier.copy(dead, editor.edit(dead)), self._chosen(keys, where, limit), rate, progress
        )

    @property
    def movable(self) -> bool:
        """Whether `move_all` can be asked for: the backend has such a thing, and the queue keeps no order."""
        return self._mover is not None and not self._capabilities.ordering

    @shielded
    def move_all(self) -> Move:
        """Has the backend move all dead letters to their queue by itself, and returns at once. For very many.

        Unlike `redrive`, it moves them unchanged and for as long as there are any:

        * What the service itself put here, as it was received too often, keeps the attempts that its body names: a
          retry's copy may be dead again at its first failure. What a worker put here has all attempts before it.
        * What dies again at once is moved again, in a circle, until the move is cancelled or the service ends it.

        Raises:
            UnsupportedError: The backend has no such thing, or the queue keeps an order. Nothing was started.
            ConfigurationError: The queue has no redrive policy to its dead-letter queue. Nothing was started.
            BackendError: A move is under way already, or the backend failed.
        """
        if self._mover is None or self._capabilities.ordering:
            why = "this backend has no such move" if self._mover is None else "the queue keeps an order"
            raise UnsupportedError(
                f"the dead letters of queue {self.queue!r} can't be moved by the service itself: {why}",
                hint=f"send them again one by one: cloudq dlq redrive {self.queue} --all, or .redrive() in Python",
            )
        return Move(self.queue, self._mover, self._mover.start_move(self.queue))

    def purge(
        self,
        keys: Sequence[str] | None = None,
        *,
        where: Where | str | None = None,
        limit: int | None = None,
        dry_run: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> int:
        """Deletes dead letters. They are gone. Returns how many there were.

        Args:
            keys: Those to delete; `None` for all, or those of `where`.
            where: A condition; not together with `keys`.
            limit: At most this many.
            dry_run: Whether only to say how many there are.
            progress: Called with how many were deleted so far.

        Raises:
            OptionError: The condition means nothing, or the keys are no list of texts.
        """
        if keys is None and where is None and limit is None and not dry_run:
            return self._purge(None)
        chosen = self._chosen(keys, where, limit)
        if dry_run:
            return len(chosen)
        deleted = 0
        for start in range(0, len(chosen), _PURGED_AT_ONCE):
            deleted += self._purge(chosen[start : start + _PURGED_AT_ONCE])
            if progress is not None:
                progress(deleted)
        return deleted

    def load(
        self,
        lines: Iterable[bytes],
        *,
        by: str,
        start: int = 1,
        limit: int | None = None,
        rate: float | None = None,
        dry_run: bool = False,
        vouch: bool = False,
        unchecked: bool = False,
        progress: Progress | None = None,
    ) -> Redriven:
        """Sends what `export` wrote to this queue: as a redrive does, and edited where a line has an `edit`.

        What can't be read, or not be sent, is an error that names its line; the others go on. Nothing is deleted, and
        each line is stored, also where the backend de-duplicates: to load a file again is to send its messages again.

        Args:
            lines: With their ends or without.
            by: Who imports, for the notes of edits.
            start: The number of the first line to send, from 1: to go on where an import ended.
            limit: At most this many.
            rate: As for `redrive`.
            dry_run: Whether only to look which lines can be sent.
            vouch: Sign also messages whose signature doesn't fit one of the app's keys, or that have none. Without it
                they are refused where the app has keys.
            unchecked: As for `edit`.
            progress: As for `redrive`.

        Raises:
            UnsupportedError: Nothing can be sent to this queue.
            OptionError: The rate, the limit or the start means nothing.
        """
        self._refuse_unless_sendable()
        most = bound_of(limit)
        if not isinstance(start, int) or start < 1:
            raise OptionError(f"the first line is number 1, so start can't be {start!r:.60}", hint="start=1")
        importer = Importer(
            self.queue,
            self._copier(),
            self._store,
            means=self._means,
            clock=self._clock,
            by=by,
            vouch=vouch,
            unchecked=unchecked,
            pace=Pace(rate, self._clock),
            progress=progress,
        )
        return importer.run(lines, start=start, limit=most, dry_run=dry_run)

    def _redrive(
        self,
        copy: Callable[[Delivery], Outgoing],
        chosen: Sequence[str],
        rate: float | None,
        progress: Progress | None,
    ) -> Redriven:
        redriver = Redriver(
            self._dead,
            self._store,
            copy,
            pace=Pace(rate, self._clock),
            clock=self._clock,
            most=self._capabilities.max_batch,
            exclusive=self._capabilities.dead_letter_leases,
            progress=progress,
        )
        return redriver.run(chosen)

    def _copier(self) -> Copier:
        return Copier(self.queue, self._capabilities, self._clock, self._means.signer)

    @shielded
    def _purge(self, keys: Sequence[str] | None) -> int:
        return self._dead.purge(keys)

    def _refuse_unless_sendable(self) -> None:
        if not self._capabilities.copies:
            raise refused(Refusal.REDRIVE, self.queue, self._capabilities)
