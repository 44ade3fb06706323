"""From the SDK's errors to those of cloudq."""

from __future__ import annotations

from typing import Final

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.servicebus import exceptions as sdk_errors

from cloudq.core.delivery import Lease
from cloudq.core.message import is_ordered
from cloudq.drivers.service_bus.sdk import Cut, Unconfirmed
from cloudq.errors import (
    BackendError,
    BackendUnavailable,
    CloudqError,
    LeaseLost,
    MessageTooLarge,
    PermissionDenied,
    QueueNotFound,
    QueuePaused,
    Throttled,
    UnsupportedError,
)

_LOST = (sdk_errors.MessageLockLostError, sdk_errors.SessionLockLostError, sdk_errors.MessageNotFoundError)
_DENIED = (
    sdk_errors.ServiceBusAuthenticationError,
    sdk_errors.ServiceBusAuthorizationError,
    ClientAuthenticationError,
)
_UNREACHABLE = (
    sdk_errors.ServiceBusConnectionError,
    sdk_errors.ServiceBusCommunicationError,
    sdk_errors.OperationTimeoutError,
    ServiceRequestError,  # of the administration, over HTTP: nothing was sent, or no answer came
    ServiceResponseError,
    Cut,
    Unconfirmed,
    OSError,  # TimeoutError and ConnectionError among them
)


_NOT_FOUND: Final = 404
_DISABLED: Final = "com.microsoft:entity-disabled"


def translate(error: BaseException, queue: str) -> Exception:
    """The error of cloudq that says what `error` means for `queue`, with the original as its cause."""
    if isinstance(error, CloudqError):
        return error
    meant = _translated(error, queue)
    meant.__cause__ = error
    return meant


def translate_unsure(error: BaseException, queue: str) -> Exception:
    """As `translate`, of a call that stores messages: where no answer came they may have been stored all the same."""
    meant = translate(error, queue)
    if not isinstance(meant, BackendUnavailable) or isinstance(error, CloudqError):
        return meant
    unsure = BackendUnavailable(f"{meant.message}; what was sent may have been stored", hint=meant.hint)
    unsure.__cause__ = error
    return unsure


def is_of_the_link(error: BaseException | None) -> bool:
    """Whether a message may still be settled, by another link."""
    return isinstance(error, (Cut, Unconfirmed, sdk_errors.ServiceBusConnectionError))


def is_of_the_lock(error: BaseException) -> bool:
    """Whether it says something of a message's lock, and not of the connection."""
    return isinstance(error, (sdk_errors.MessageLockLostError, sdk_errors.MessageNotFoundError)) or (
        type(error) is sdk_errors.ServiceBusError and "lock" in str(error).lower()
    )


def is_unreachable(error: BaseException | None) -> bool:
    """Whether no answer came: another question would get none either."""
    return isinstance(error, _UNREACHABLE)


def is_silence(error: BaseException | None) -> bool:
    """Whether it says, by itself or by what caused it, that no answer came in time."""
    while error is not None:
        if isinstance(error, TimeoutError):
            return True
        error = error.__cause__
    return False


def translate_receive(error: BaseException, queue: str) -> Exception:
    """As `translate`, of a receive: a queue that hands nothing over since its status says so is paused."""
    if not is_disabled(error):
        return translate(error, queue)
    return QueuePaused(f"queue {queue!r} is paused: its status is ReceiveDisabled", hint=f"cloudq resume {queue}")


def is_disabled(error: BaseException) -> bool:
    """Whether the service refuses a link, or has detached one, as the queue is disabled for what it is for.

    By its condition, `com.microsoft:entity-disabled` (Service Bus AMQP errors, 2026-11), which the SDK keeps only in an
    error's text where a link is detached.
    """
    return isinstance(error, sdk_errors.MessagingEntityDisabledError) or _DISABLED in str(error)


def session_lost() -> Exception:
    """The report for a message whose session isn't locked to this process any more."""
    lost: Exception = sdk_errors.SessionLockLostError(message="the session's link is closed")
    return lost


def lease_lost(lease: Lease) -> LeaseLost:
    """The report for a lease that is over."""
    return LeaseLost(f"the lease on a message of queue {lease.queue!r} is over")


def _translated(error: BaseException, queue: str) -> Exception:
    said = str(error)
    if isinstance(error, _LOST) or "amqp:illegal-state" in said:
        # A delivery's tag is forgotten once it was settled: the SDK then calls the link's state illegal.
        return LeaseLost(f"the lease on a message of queue {queue!r} is over: {said}")
    if isinstance(error, (sdk_errors.MessagingEntityNotFoundError, ResourceNotFoundError)) or _token_for_nothing(error):
        return QueueNotFound(
            f"there is no queue {queue!r} on Azure Service Bus",
            hint=f"make it with your infrastructure, or for development: cloudq queues create {queue}",
        )
    if isinstance(error, sdk_errors.MessageSizeExceededError):
        return MessageTooLarge(f"queue {queue!r} doesn't take so large a message: {said}")
    if isinstance(error, _DENIED):
        return PermissionDenied(
            f"queue {queue!r}: {said}",
            hint="senders need the role Azure Service Bus Data Sender, workers also Azure Service Bus Data Receiver",
        )
    if isinstance(error, sdk_errors.ServiceBusServerBusyError):
        return Throttled(f"queue {queue!r}: {said}")
    if isinstance(error, sdk_errors.ServiceBusQuotaExceededError):
        return BackendError(f"queue {queue!r} is full: {said}", hint="let workers catch up, or raise its size")
    if isinstance(error, _UNREACHABLE):
        return BackendUnavailable(
            f"Azure Service Bus can't be reached: {said}", hint="check the network and the namespace"
        )
    if isinstance(error, HttpResponseError):
        return _of_http(error, queue)
    if _wants_session(said):
        ordered = is_ordered(queue)
        is_, named = ("no sessions", "ends") if ordered else ("sessions", "doesn't end")
        return UnsupportedError(
            f"queue {queue!r} has {is_}, though its name {named} in .fifo: {said}",
            hint="queues whose names end in .fifo need sessions, all others must have none",
        )
    if isinstance(error, AzureError):
        return (BackendUnavailable if getattr(error, "_retryable", False) else BackendError)(f"queue {queue!r}: {said}")
    return BackendError(f"queue {queue!r}: {type(error).__name__}: {said}")


def _token_for_nothing(error: BaseException) -> bool:
    """Whether the service refused a token since there is no such entity: it says so before any link is attached."""
    if not isinstance(error, sdk_errors.ServiceBusAuthenticationError):
        return False
    return any(
        getattr(beneath, "status_code", None) == _NOT_FOUND for beneath in (error.inner_exception, error.__cause__)
    )


def _of_http(error: HttpResponseError, queue: str) -> Exception:
    if error.status_code in {401, 403}:
        return PermissionDenied(f"queue {queue!r}: {error.message}", hint="it needs the right to manage the namespace")
    if error.status_code == 429:
        return Throttled(f"queue {queue!r}: {error.message}")
    if error.status_code is None or error.status_code >= 500:
        return BackendUnavailable(f"queue {queue!r}: {error.message}")
    return BackendError(f"queue {queue!r}: {error.message}")


def _wants_session(said: str) -> bool:
    said = said.lower()
    return "amqp:not-allowed" in said and "session" in said
