"""`NotedAttempt`: what is noted of one attempt, when it begins and when it ends.

```
 a short task among others    begins ────────── ends ─▶ noted, together with others ─▶ acknowledged
 one that takes its time      begins ─▶ noted ─ ends ─▶ noted, together with others ─▶ acknowledged
 one that fails, or is heard  begins ─▶ noted ─ ends ─▶ noted at once
```
"""

from __future__ import annotations

import time
from datetime import datetime
from functools import partial

from msgspec.structs import replace

from cloudq.core.notes import Note, NoteWrite, Written
from cloudq.core.owed_notes import OWED, OwedNote
from cloudq.core.shield import shielded
from cloudq.errors import BackendError
from cloudq.integrations.django.results import RUNNING, Kept, KeptResults, log_unnoted, read, workers


class NotedAttempt:
    """What is noted of one attempt. For the thread that runs it, and for the one that pays what it owes.

    Args:
        results: Where to.
        id_: The message's id.
        attempt: Its number, from 1.
    """

    def __init__(self, results: KeptResults, id_: str, attempt: int) -> None:
        self._results = results
        self._id = id_
        self._attempt = attempt
        self._version = 0
        self._begun = b""

    @shielded  # a time limit that strikes in here would be taken for the store's failure, and the task have none
    def begin(self, fresh: Kept, worker: str, now: datetime, *, may_wait: bool) -> Kept:
        """Notes that it begins, and says what it goes on from.

        Args:
            fresh: What is known from the message alone, for where nothing is kept.
            worker: Who runs it.
            now: The time.
            may_wait: Whether it needn't be noted if it ends soon.
        """
        began = time.monotonic()
        known, self._version = self._results.known(self._id, fresh)
        kept = replace(
            known,
            status=RUNNING,
            started_at=known.started_at or now,
            last_attempted_at=now,
            workers=workers(known.workers, worker, self._attempt),
        )
        write = self._results.write_of(self._id, kept, after=self._version, durable=False)
        self._begun = write.text
        owed, notes = OWED.get(), self._results.together if may_wait else None
        if owed is None or notes is None or not owed.begin(OwedNote(notes, write, partial(self._take, write))):
            self._write(write)
        if owed is not None and notes is not None:
            owed.spent += time.monotonic() - began
        return kept

    def end(self, kept: Kept, *, may_wait: bool) -> None:
        """Notes how it ended, unless a later attempt has begun.

        Args:
            kept: What is known of it now.
            may_wait: Whether it is early enough before its message is acknowledged.
        """
        write = self._results.write_of(self._id, kept, after=self._version)
        owed, notes = OWED.get(), self._results.together if may_wait else None
        if owed is None or notes is None:
            if owed is not None:
                owed.drop()  # that it has begun
            self._write(write)
        else:
            owed.end(OwedNote(notes, write, partial(self._take, write)))

    def _write(self, write: NoteWrite) -> None:
        self._take(write, self._results.said(write))

    def _take(self, write: NoteWrite, said: Written | Note | Exception | None) -> None:
        """Looks at the store's answer. What its own beginning, its send or an earlier attempt left is written over."""
        if said is None and write.after:  # what it saw is gone: the run took longer than notes are kept
            said = self._results.said(replace(write, after=0))
        if isinstance(said, Note) and self._may_follow(said):
            said = self._results.said(replace(write, after=said.version))
        if isinstance(said, Exception):
            log_unnoted(self._id, said)
        elif isinstance(said, Written):
            self._version = said.version

    def _may_follow(self, note: Note) -> bool:
        if note.text == self._begun:
            return True
        try:
            return len(read(note).workers) < self._attempt
        except BackendError:
            return False  # of another version: left as it is
