"""`Sweeper`: removes what was kept for long enough, little by little, beside a worker's tasks.

Stores on a database server, or in a file, have nothing that removes old records by itself. Each worker looks now and
then; several find that another one was there, and that costs them a look.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from threading import Event
from typing import Final, Protocol, TypeAlias
from weakref import WeakKeyDictionary

from cloudq.app import App
from cloudq.core.safe_log import SafeLogger
from cloudq.core.threads import Threads
from cloudq.errors import CloudqError, wording

Sweep: TypeAlias = "Callable[[int], int]"
"""Removes up to a number of records that may go, in a short transaction; says how many it removed."""

BATCH: Final = 500
"""The most records that are removed at once: what else is done in the same tables waits for that long."""

EVERY: Final = timedelta(minutes=10)
"""How often there is a look, on the average."""

# While there is more to remove than a batch: others get their turn in between.
PAUSE: Final = timedelta(seconds=1)

logger = SafeLogger("cloudq")

_added: Final[WeakKeyDictionary[App, dict[str, Sweep]]] = WeakKeyDictionary()


class Later(Protocol):
    """Has a job run in a thread, once the delay is over."""

    def __call__(self, job: Callable[[], object], *, delay: timedelta) -> object: ...  # noqa: D102 - said above


def add_sweep(app: App, what: str, sweep: Sweep) -> None:
    """From now on workers of the app that start also sweep this, a table of the program's own database say.

    Args:
        app: Whose workers.
        what: The table's name, for logs. A second one of the same name takes the first one's place.
        sweep: What removes. It runs in a thread of its own, one at a time, and may raise.
    """
    _added.setdefault(app, {})[what] = sweep


def sweeps_of(app: App) -> dict[str, Sweep]:
    """What an app's workers sweep: the store of idempotency keys, with its notes, and what was added."""
    sweeps: dict[str, Sweep] = {}
    if app.runtime.stores.in_use:
        sweeps["the store of idempotency keys"] = lambda limit: _sweep_store(app, limit)
    return sweeps | _added.get(app, {})


class Sweeper:
    """Looks for what may go, a batch at a time, until its thread ends.

    Workers that start together don't look together: the first look is anywhere within `EVERY`, and so is each pause.

    Args:
        sweeps: What is swept, by name.
        later: Runs the looks.
        spread: A number from 0 to 1, another one at each call.
    """

    def __init__(
        self, sweeps: Mapping[str, Sweep], *, later: Later, spread: Callable[[], float] = random.random
    ) -> None:
        self._sweeps = sweeps
        self._later = later
        self._spread = spread
        self._failing: set[str] = set()
        self._ended = Event()

    def begin(self) -> None:
        """Plans the first look, if there is something to sweep."""
        if self._sweeps:
            self._later(self.look, delay=EVERY * self._spread())

    def end(self) -> None:
        """Plans no more; a look that is under way may meet what is closed by now, and says nothing of it."""
        self._ended.set()

    def look(self) -> None:
        """Removes a batch of each, and plans the next look: soon if there is more."""
        if self._ended.is_set():
            return  # the app may be closed by now, and would open its store again
        # Each of them is called, whatever the others say.
        full = [what for what, sweep in self._sweeps.items() if self._remove(what, sweep) >= BATCH]
        if self._ended.is_set():
            return
        self._later(self.look, delay=PAUSE if full else EVERY * (0.5 + self._spread()))

    def _remove(self, what: str, sweep: Sweep) -> int:
        known = what in self._failing
        self._failing.add(what)
        try:
            removed = sweep(BATCH)
        except CloudqError as error:
            # Once an outage: the next look is in minutes, and nothing depends on it before.
            if not known and not self._ended.is_set():
                logger.warning("%s could not be swept: %s", what, wording(error))
            return 0
        except Exception:  # a driver may raise anything, and one table's trouble must keep no other from being swept
            if not known and not self._ended.is_set():
                logger.exception("%s could not be swept", what)
            return 0
        self._failing.discard(what)
        if removed:
            logger.debug("removed %d old records of %s", removed, what)
        return removed


@contextmanager
def sweeping(app: App) -> Iterator[None]:
    """Sweeps while the block runs, in a thread of its own; a batch that is under way at the end isn't awaited."""
    threads = Threads("cloudq-sweep", 1, clock=app.clock)
    sweeper = Sweeper(sweeps_of(app), later=threads.submit)
    try:
        sweeper.begin()
        yield
    finally:
        sweeper.end()
        threads.close()


def _sweep_store(app: App, limit: int) -> int:
    store = app.runtime.store
    return 0 if store is None else store.sweep(limit)
