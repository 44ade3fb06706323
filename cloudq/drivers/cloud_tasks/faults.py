"""From the SDK's errors to those of cloudq."""

from __future__ import annotations

from concurrent import futures
from typing import Final

import grpc
from google.api_core import exceptions as api
from google.auth import exceptions as auth

from cloudq.errors import (
    BackendError,
    BackendUnavailable,
    MessageTooLarge,
    PermissionDenied,
    QueueNotFound,
    Throttled,
)

SERVICE: Final = "Google Cloud Tasks"

_DENIED: Final = (api.Forbidden, api.Unauthorized)
_THROTTLED: Final = (api.TooManyRequests,)
# The outcome of a call that was cut off isn't known; a named task makes trying it again harmless.
_DOWN: Final = (api.ServerError, api.Aborted, api.Cancelled, api.RetryError, grpc.RpcError, futures.TimeoutError)
_TOO_LARGE_WORDS: Final = ("size", "too large")
_CREDENTIALS_WORDS: Final = "metadata from plugin"
_WEB_PAGE_WORDS: Final = "Received http2 header with status"

_CREDENTIALS_HINT: Final = (
    "give the SDK application default credentials: a service account, or `gcloud auth application-default login`"
)


def translate(error: Exception, queue: str) -> Exception:
    """The error of cloudq that says what `error` means for `queue`, with the original as its cause."""
    meant = _translated(error, queue)
    if meant is not error:
        meant.__cause__ = error
    return meant


def of_status(code: int, message: str) -> Exception:
    """The SDK's error for the status that an operation reports of one of its items."""
    error: Exception = api.from_grpc_status(code, message)
    return error


def unknown(queue: str, what: str = "whether the message was stored, so it may have been") -> BackendUnavailable:
    """The error for what an answer doesn't say."""
    return BackendUnavailable(
        f"queue {queue!r}: {SERVICE} didn't say {what}", hint="check what is in between, e.g. a proxy"
    )


def lacks_method(error: Exception) -> bool:
    """Whether the service says that it has no such method. For a web page with 404 gRPC has the same status."""
    return isinstance(error, api.MethodNotImplemented) and _WEB_PAGE_WORDS not in str(error)


def _translated(error: Exception, queue: str) -> Exception:
    if isinstance(error, api.NotFound):
        return QueueNotFound(
            f"there is no queue {queue!r} on {SERVICE}",
            hint=f"make it with your infrastructure, or for development: cloudq queues create {queue}",
        )
    if isinstance(error, _THROTTLED):
        return Throttled(f"queue {queue!r}: {error}")
    if isinstance(error, _DENIED):
        return PermissionDenied(f"queue {queue!r}: {error}", hint="check the IAM roles of the calling account")
    if isinstance(error, api.InvalidArgument) and any(word in str(error).lower() for word in _TOO_LARGE_WORDS):
        return MessageTooLarge(f"queue {queue!r} doesn't take so large a message: {error}")
    if lacks_method(error):
        return BackendError(f"queue {queue!r}: {error}")
    if isinstance(error, _DOWN):
        # A token that can't be obtained is reported as "unavailable", too.
        hint = _CREDENTIALS_HINT if _CREDENTIALS_WORDS in str(error) else "check the network"
        return BackendUnavailable(f"{SERVICE} can't be reached, or is busy: {error}", hint=hint)
    if isinstance(error, auth.GoogleAuthError):
        if isinstance(error, auth.TransportError) or error.retryable:
            return BackendUnavailable(f"{SERVICE}: no token could be obtained: {error}", hint="check the network")
        return PermissionDenied(f"{SERVICE} can't be called: {error}", hint=_CREDENTIALS_HINT)
    if isinstance(error, (api.GoogleAPIError, ValueError)):
        return BackendError(f"queue {queue!r}: {error}")
    return error
