"""Every error that cloudq raises: what is wrong, what to do (`hint`), and a stable `code`.

The codes are anchors of the documentation page `reference/errors.md`; they never change once released.
This room imports nothing else of cloudq, so that every layer may raise from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from cloudq.errors.words import kind_of as kind_of
from cloudq.errors.words import nearest as nearest
from cloudq.errors.words import place as place


class CloudqError(Exception):
    """The base of all errors of cloudq.

    Its text, as a log shows it, is the message and behind it the hint: `no backend is set; hint: set CLOUDQ_URL`.

    Attributes:
        message: What is wrong, without the hint.
        code: A stable word for programs and for the documentation's anchors.
        hint: What to do about it, or `None` where the message says it all.
    """

    code: ClassVar[str] = "cloudq"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint

    @property
    def message(self) -> str:
        """What is wrong, without the hint."""
        return str(self.args[0]) if self.args else ""

    def __str__(self) -> str:
        """The message and the hint: a web app's log, or Lambda's, shows nothing else."""
        return f"{self.message}; hint: {self.hint}" if self.hint else self.message


# ── what the program or its settings got wrong ───────────────────────────────────────────────────────────


class ConfigurationError(CloudqError):
    """A setting (a URL, an environment variable, an option) can't be used as it is."""

    code = "configuration"


class TaskDefinitionError(CloudqError):
    """A task can't be declared this way: a duplicate name, `*args`, a type that can't travel as JSON."""

    code = "task-definition"


class OptionError(CloudqError):
    """A send option doesn't fit: a bare number as delay, a naive datetime, an empty key. Nothing was stored."""

    code = "option"


class NotInTask(CloudqError):
    """`cloudq.current()` was called where no task is running."""

    code = "not-in-task"


class UnknownTaskError(CloudqError):
    """No task of this name is declared in the app."""

    code = "unknown-task"


class PayloadError(CloudqError):
    """A payload doesn't fit the task's parameters. Nothing was stored.

    Attributes:
        field: The path of the offending field (`order.items[2].price`), or `None` if it is the whole payload.
    """

    code = "payload"

    def __init__(self, message: str, *, field: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.field = field


class PayloadLost(CloudqError):
    """A message refers to a blob that isn't there, or isn't what was stored. A worker dead-letters the message."""

    code = "payload-lost"


class UndecodableError(CloudqError):
    """A body isn't a CloudEvent that this version understands. On receipt it means the dead-letter queue."""

    code = "undecodable"


class PushRefused(CloudqError):
    """A request or an event isn't a push of the backend that the app is configured for. Nothing of it was run."""

    code = "push-refused"


class UnsupportedError(CloudqError):
    """The backend, or this queue of it, can't do what was asked. Refused, never ignored."""

    code = "unsupported"


class MessageTooLarge(CloudqError):
    """The message is larger than the backend stores. Nothing was stored.

    Attributes:
        size: The bytes that count, of the body and of what lies beside it; `None` where nobody said.
        limit: The most that the queue takes of them; `None` where nobody said.
    """

    code = "message-too-large"

    def __init__(
        self, message: str, *, hint: str | None = None, size: int | None = None, limit: int | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.size = size
        self.limit = limit


# ── what happened while a task ran ───────────────────────────────────────────────────────────────────────


class LeaseLost(CloudqError):
    """The lease on a delivery is over, so someone else may have it: the settlement changed nothing.

    On a backend that can't fence (`Capabilities.fenced_settle` is false) a late delete may still have taken effect.
    """

    code = "lease-lost"


class TimeLimitExceeded(CloudqError):
    """A task ran longer than its `time_limit`. Raised inside the handler, which may tidy up and re-raise."""

    code = "time-limit"

    def __init__(self, message: str = "the task ran longer than its time limit", *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)


class WorkerDied(CloudqError):
    """The process that ran a task ended before the task did (killed, out of memory, a crash in native code)."""

    code = "worker-died"


class TransactionRefused(CloudqError):
    """This database connection can't have a task's transaction, or a send within one. Nothing was done."""

    code = "transaction-refused"


class TransactionBroken(CloudqError):
    """A task's transaction was none in the end: ended within its block, or a table was changed that can't undo it.

    What was kept has no completion beside it, so another run would repeat it: the message is dead-lettered.
    """

    code = "transaction-broken"


# ── what a backend reported ──────────────────────────────────────────────────────────────────────────────


class BackendError(CloudqError):
    """A backend refused or failed; the SDK's own error is the `__cause__`."""

    code = "backend"


class TransientError(BackendError):
    """A failure that passes by itself: the same call may be tried again."""

    code = "backend-transient"


class BackendUnavailable(TransientError):
    """The backend can't be reached, or is busy (a locked database, a network cut, a 5xx)."""

    code = "backend-unavailable"


class PayloadUnavailable(TransientError):
    """The store of large payloads can't be reached, or is busy. A worker tries the message again later."""

    code = "payload-unavailable"


class StoreUnavailable(TransientError):
    """The store of idempotency keys can't be reached, or is busy. A worker tries the message again later."""

    code = "store-unavailable"


class StoreRefused(BackendError):
    """The store of idempotency keys refuses a call, and does so again until somebody changes the store.

    Its credentials don't allow it, its table is missing, or its server is full or can only be read.
    """

    code = "store-refused"


class TransactionAborted(TransientError):
    """The database gave a task's transaction up because of another one: a deadlock, a change in between, a lock.

    Nothing of it was kept, and the delivery is tried again without using up an attempt.
    """

    code = "transaction-aborted"


class Throttled(TransientError):
    """The backend asks for fewer calls."""

    code = "throttled"


class QueueNotFound(BackendError):
    """The queue doesn't exist on the backend."""

    code = "queue-not-found"


class QueuePaused(BackendError):
    """Somebody has paused the queue: nothing of it is handed over until it is resumed. Nothing is wrong."""

    code = "queue-paused"


class PermissionDenied(BackendError):
    """The credentials, or the file's mode, don't allow this."""

    code = "permission-denied"


class StorageFull(BackendError):
    """The disk that holds the database is full. What was accepted before is still there."""

    code = "storage-full"


class StorageReadOnly(PermissionDenied):
    """The database file, its folder or its file system can't be written."""

    code = "storage-read-only"


class StorageCorrupt(BackendError):
    """The file isn't an intact cloudq database."""

    code = "storage-corrupt"


class StorageReplaced(BackendError):
    """The database file was moved, deleted or replaced while it was open. The process has to be restarted."""

    code = "storage-replaced"


class SchemaMismatch(BackendError):
    """The database's schema is one that this version of cloudq can't use."""

    code = "schema-mismatch"


class ResultTimeout(CloudqError):
    """A task isn't done yet, and the time to wait for its result is over. It goes on all the same.

    Attributes:
        status: How far its message has come; see `Result.status`.
    """

    code = "result-timeout"

    def __init__(self, message: str, status: str = "unknown", *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class NoResult(CloudqError):
    """A task has no result, and won't have one by waiting: it is dead, has expired, was cancelled, or none was kept.

    Attributes:
        status: `dead_lettered`, `expired`, `cancelled` or `succeeded`.
    """

    code = "no-result"

    def __init__(self, message: str, status: str = "unknown", *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class BatchFailed(CloudqError):
    """Messages that a host handed over have to stay: Lambda is to delete nothing, Azure Functions to abandon them."""

    code = "batch-failed"


class SendManyError(CloudqError):
    """Some calls of a `send_many` failed; every call was tried.

    What is raised is `cloudq.SendManyError`, a subclass that knows the types of what it holds.

    Attributes:
        results: One entry a call, in order: a `Sent`, or the error of that call.
        failed: The calls that failed, in order, ready to be passed to `send_many` again.
    """

    code = "send-many"

    def __init__(self, results: Sequence[object], failed: Sequence[object]) -> None:
        first = next((result for result in results if isinstance(result, Exception)), None)
        again = "send_many(error.failed) tries just those again; error.results has every outcome in order"
        super().__init__(
            f"{len(failed)} of {len(results)} calls were not stored; the first error: "
            f"{None if first is None else wording(first)}",
            hint=f"{first.hint}; {again}" if isinstance(first, CloudqError) and first.hint else again,
        )
        self.results: Sequence[object] = list(results)
        self.failed: Sequence[object] = list(failed)

    def __reduce__(self) -> tuple[type[SendManyError], tuple[Sequence[object], Sequence[object]]]:
        """So that it survives the way from one process to another; an exception's own way knows only the message."""
        return type(self), (self.results, self.failed)


def wording(error: BaseException) -> str:
    """What an error says is wrong, to be put into another text: without the hint, which that text's own end carries."""
    return error.message if isinstance(error, CloudqError) else str(error)
