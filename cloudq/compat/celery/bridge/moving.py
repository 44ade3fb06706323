"""`Bridge`: reads a part of the old queue, stores what can be stored, takes that out, and so on until nothing comes.

```
 read ─▶ message ─▶ stored by the backend ─▶ taken out of the old queue
              │              │                     ▲
              │              └ killed here: it is read again, and stored under the same name
              └ Stays ─▶ left, and told
```
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, timedelta, tzinfo
from typing import Final, NamedTuple

from cloudq.app import App
from cloudq.compat.celery.bridge.mapping import message_for
from cloudq.compat.celery.bridge.old_queue import Found, OldQueue
from cloudq.compat.celery.bridge.reading import Named, readable
from cloudq.compat.celery.bridge.stays import Stays, Why
from cloudq.compat.celery.bridge.tally import Left, Tally
from cloudq.core.driver import SendResult
from cloudq.core.message import Message
from cloudq.errors import BackendError, CloudqError
from cloudq.tasks.sending import sent

# How long a read may wait on the service, and how long a queue rests that can't be waited on. A signal is heard after
# that at the latest.
WAIT: Final = timedelta(seconds=5)
REST: Final = timedelta(seconds=1)


class _Ready(NamedTuple):
    found: Found
    message: Message


class Bridge:
    """Takes the messages of one old queue over to an app's backend.

    Args:
        app: Whose tasks and backend.
        old: Where Celery's messages are.
        timezone: Celery's setting of that name, for times without an offset.
        dry_run: Whether nothing is stored and nothing taken out.
        told: Is given each message that stays, as it is met.
        moved: Is given how many more were looked at.
        rest: Waits that long, or shorter; whether the bridge is to stop.
    """

    def __init__(
        self,
        app: App,
        old: OldQueue,
        *,
        timezone: tzinfo = UTC,
        dry_run: bool = False,
        told: Callable[[Left], None] = lambda _: None,
        moved: Callable[[int], None] = lambda _: None,
        rest: Callable[[timedelta], bool],
    ) -> None:
        self._app = app
        self._old = old
        self._timezone = timezone
        self._dry_run = dry_run
        self._told = told
        self._moved = moved
        self._rest = rest
        self.tally = Tally()

    def run(self, idle: timedelta | None) -> Tally:
        """Bridges until nothing more was found for `idle`, or it is to stop.

        Args:
            idle: How long nothing may come; nothing at all ends it at the first look that finds nothing; `None`: only
                `rest` does.

        Raises:
            CloudqError: The old queue or the backend can't be used. What was stored by then may still be in the old
                queue, and is repeated by the next bridge; nothing is lost.
        """
        clock = self._app.clock
        since = clock.elapsed()
        wait = WAIT if idle is None else min(WAIT, max(REST, idle))
        while not self._rest(timedelta(0)):
            found = self._old.read(wait)
            if found:
                self._bridge(found)
                self._moved(len(found))
                since = clock.elapsed()
            elif (idle is not None and clock.elapsed() - since >= idle) or self._rest(REST):
                break
        return self.tally

    def _bridge(self, found: Sequence[Found]) -> None:
        ready = [self._ready(one) for one in found]
        wanted = [one for one in ready if one is not None]
        if self._dry_run:
            self._old.leave([one.found for one in wanted])
            for one in wanted:
                self._count(one.message, None)
            return
        for queue in dict.fromkeys(one.message.queue for one in wanted):
            self._store(queue, [one for one in wanted if one.message.queue == queue])

    def _ready(self, found: Found) -> _Ready | None:
        named = Named()
        try:
            if found.raw is None:
                raise Stays(Why.TOO_LARGE, f"it has {found.size:,} bytes, more than are looked at")
            outside = readable(found.raw)
            named = outside.named
            if found.astray is not None:
                raise Stays(Why.ROUTE, found.astray)
            message = message_for(self._app, outside.call(self._timezone), found.group)
            self._app.runtime.noted_sends.instead(message)  # refuses a tracked one where there is no store
        except Stays as stays:
            self._leave(found, named, stays)
            return None
        except BackendError:
            raise
        except CloudqError as error:
            self._leave(found, named, Stays(Why.REFUSED, error.message))
            return None
        return _Ready(found, message)

    def _store(self, queue: str, ready: Sequence[_Ready]) -> None:
        """Stores what goes to one queue, and takes out of the old one what is stored.

        Raises:
            BackendError: Some of it couldn't be stored for a reason that isn't theirs.
        """
        results = self._app.queue(queue).send_all([one.message for one in ready])
        stored = [(one, result) for one, result in zip(ready, results, strict=True) if result.error is None]
        if stored:
            self._old.take([one.found for one, _ in stored])
        for one, result in stored:
            self._app.runtime.noted_sends.note(one.message, sent(one.message, result))
            self._count(one.message, result)
        for one, result in zip(ready, results, strict=True):
            if result.error is None:
                continue
            if isinstance(result.error, BackendError):
                raise result.error
            named = Named(one.message.id, one.message.task)
            self._leave(one.found, named, Stays(Why.REFUSED, str(result.error)))

    def _leave(self, found: Found, named: Named, stays: Stays) -> None:
        self._old.leave([found])
        self.tally.left[stays.why] += 1
        self._told(
            Left(
                place=found.place,
                id=named.id,
                task=named.task,
                why=stays.why,
                detail=stays.detail,
                size=found.size,
            )
        )

    def _count(self, message: Message, result: SendResult | None) -> None:
        tally, now = self.tally, self._app.clock.now()
        tally.bridged += 1
        tally.duplicates += bool(result is not None and result.duplicate)
        tally.delayed += message.not_before is not None
        tally.retried += message.attempt_base > 0
        tally.expired += message.expires_at is not None and message.expires_at <= now
