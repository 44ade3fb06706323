"""What waits for a commit in this process, and what becomes of it if something cuts the callbacks of that commit short.

Django drops the callbacks behind one that raises, and says nothing of them. What was committed is to be sent all the
same, or somebody has to see that it wasn't.

```
 commit ── the project's own ── ours ── ours ── ...        each as Django runs it
              │
              raises, or a time limit strikes:  ours are sent then, and the error goes on
              the process is to end:            ours are logged and counted, and the end goes on
```
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from django.db import transaction

from cloudq.core.message import Message
from cloudq.core.safe_log import SafeLogger
from cloudq.core.shield import Ended, shielded
from cloudq.tasks.holding import Ways

logger = SafeLogger("cloudq.django")

_HOOKS: Final = "run_and_clear_commit_hooks"

_LOST: Final = "wasn't sent after its transaction's commit, and is lost"
_CUT: Final = "was being sent after its transaction's commit when the process was told to end, and may be lost"
_UNKNOWN: Final = "wasn't sent: a time limit has cut its transaction's end, and if that was committed it is lost"


class Failures:
    """How many messages were held, and couldn't be sent after the commit. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0  # guarded by the lock

    @property
    def count(self) -> int:
        """In this process, so far."""
        return self._count

    def note(self, message: Message, error: BaseException | None, what: str = _LOST) -> None:
        """One more. The log says which call it was, but for its payload, which may hold what no log should."""
        with self._lock:
            self._count += 1
            count = self._count
        logger.error(
            "%s %s for queue %s %s (%s so far in this process)",
            message.task,
            message.id,
            message.queue,
            what,
            count,
            exc_info=error,
        )


failures: Final = Failures()


class Held:
    """Messages of one send: a callback of Django's, which sends them once.

    Args:
        messages: What was held.
        ways: How they leave.
    """

    def __init__(self, messages: Sequence[Message], ways: Ways) -> None:
        self._messages = tuple(messages)
        self._ways = ways
        self._begun = False
        self._ended = False

    @shielded  # a time limit that strikes meanwhile is raised once all of them are sent
    def __call__(self) -> None:
        """After the commit: nothing can be undone any more, so that an error keeps no other callback from running."""
        if self._begun:
            return
        self._begun = True
        try:
            results = self._ways.send(self._messages)
        except Exception as error:  # noqa: BLE001 - logged and counted
            results = [error] * len(self._messages)
        for message, result in zip(self._messages, results, strict=True):
            if isinstance(result, Exception):
                failures.note(message, result)
        self._ended = True

    def give_up(self, error: BaseException | None, what: str = _LOST) -> None:
        """Tells of each message that it isn't sent, if that is so."""
        if self._ended:
            return
        self._ended = True
        for message in self._messages:
            failures.note(message, error, _CUT if self._begun else what)
        self._begun = True


def hold_until_commit(held: Held, connection: Any) -> None:
    """Has it called once the transaction of that connection is committed, also where another callback raises.

    Args:
        held: The callback.
        connection: Django's, of this thread.
    """
    if _HOOKS not in vars(connection):
        setattr(connection, _HOOKS, partial(_run_all, connection))
    transaction.on_commit(held, using=connection.alias)


def give_up_unknown(connection: Any) -> None:
    """Tells of what a connection still holds that is thrown away, and whose transaction isn't open any more.

    A time limit has struck between the commit, or the rollback, and what Django does after it.
    """
    for held in _held(connection):
        held.give_up(None, _UNKNOWN)


def _run_all(connection: Any) -> None:
    """In place of Django's own, which runs the callbacks of what is committed."""
    connection.validate_no_atomic_block()
    ours: list[Held] | None = None
    try:
        ours = _held(connection)
        getattr(type(connection), _HOOKS)(connection)
    except (Exception, Ended):
        _send_all(_held(connection) if ours is None else ours)  # a time limit strikes anywhere
        raise
    except BaseException as error:  # a signal's, by which the process ends
        for held in _held(connection) if ours is None else ours:
            held.give_up(error)
        raise


@shielded
def _send_all(ours: Sequence[Held]) -> None:
    """Those that were sent do nothing."""
    for held in ours:
        held()


def _held(connection: Any) -> list[Held]:
    """What is to be sent after the commit: Django has taken out what was rolled back to a savepoint."""
    return [callback for _, callback, _ in connection.run_on_commit if isinstance(callback, Held)]
