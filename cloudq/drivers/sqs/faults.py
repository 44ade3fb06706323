"""From the SDK's errors to those of cloudq."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from cloudq.core.delivery import Lease
from cloudq.errors import (
    BackendError,
    BackendUnavailable,
    ConfigurationError,
    LeaseLost,
    MessageTooLarge,
    PermissionDenied,
    QueueNotFound,
    Throttled,
)

_MISSING: Final = {"NonExistentQueue", "QueueDoesNotExist"}
_DENIED: Final = {
    *("AccessDenied", "AccessDeniedException", "AuthFailure", "InvalidAccessKeyId", "InvalidClientTokenId"),
    *("InvalidSecurity", "MissingAuthenticationToken", "NotAuthorized", "OptInRequired", "SignatureDoesNotMatch"),
    *("UnrecognizedClientException", "KmsAccessDenied", "KmsDisabled", "KmsInvalidKeyUsage", "KmsInvalidState"),
    *("KmsNotFound", "KmsOptInRequired"),
}
# The chain gets new ones before the next try, so they pass by themselves.
_EXPIRED: Final = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_THROTTLED: Final = {
    *("KmsThrottled", "OverLimit", "RequestLimitExceeded", "RequestThrottled", "SlowDown", "Throttling"),
    *("ThrottledException", "ThrottlingException", "TooManyRequestsException", "PurgeQueueInProgress"),
}
_DOWN: Final = {
    *("InternalError", "InternalFailure", "InternalServerError", "RequestTimeout", "RequestTimeoutException"),
    *("ServiceUnavailable", "ServiceUnavailableException"),
}
_TOO_LARGE: Final = {"BatchRequestTooLong"}
_LOST: Final = {"MessageNotInflight", "ReceiptHandleIsInvalid"}
# InvalidParameterValue is said of many things; of a receipt handle in these words.
_LOST_WORDS: Final = ("ReceiptHandle", "receipt handle", "Total VisibilityTimeout")
# A signature holds for some minutes: of SignatureDoesNotMatch or InvalidSignatureException in these words.
_SKEW_WORDS: Final = ("Signature expired", "Signature not yet current")
# So SQS refuses an eleventh attribute, as others report it; LocalStack and moto take it.
_TOO_MANY_WORDS: Final = "number of message attributes"
_TOO_LARGE_WORDS: Final = ("must be shorter than", "message size")
# Of both "Message must be shorter than 262144 bytes" and "Batch requests cannot be longer than 262144 bytes". What has
# just as many is taken.
_LIMIT: Final = re.compile(r"(?:shorter|longer) than ([0-9]{1,9}) bytes")
TOO_LARGE_HINT: Final = (
    "raise the queue's MaximumMessageSize to 1,048,576 (its dead-letter queue's, too), or set CLOUDQ_CLAIM_CHECK to a "
    "store for large payloads (docs/how-to/large-payloads.md)"
)


def translate(error: Exception, queue: str) -> Exception:
    """The error of cloudq that says what `error` means for `queue`, with the original as its cause.

    An error that isn't the SDK's is returned itself: raise it again, but not from itself.
    """
    meant = _translated(error, queue)
    if meant is not error:
        meant.__cause__ = error
    return meant


def of_item(failed: Mapping[str, Any], queue: str) -> BackendError | LeaseLost | MessageTooLarge:
    """The error for one item that a batch reports as failed."""
    code, text = _bare(str(failed.get("Code", ""))), str(failed.get("Message", ""))
    return _by_code(code, text, queue, 400 if failed.get("SenderFault") else 500)


def too_many_attributes(error: Exception) -> bool:
    """Whether it says that a message has more attributes than SQS takes."""
    return isinstance(error, BackendError) and _TOO_MANY_WORDS in error.message.lower()


def code_of(error: BaseException) -> str:
    """The service's code of an error, without its namespace; empty if it isn't of the service."""
    response = getattr(error, "response", None)
    return _bare(str(response.get("Error", {}).get("Code", ""))) if isinstance(response, dict) else ""


def lease_lost(lease: Lease) -> LeaseLost:
    """The report for a lease that is over."""
    return LeaseLost(f"the lease on a message of queue {lease.queue!r} is over")


def _translated(error: Exception, queue: str) -> Exception:
    # Not at import: where no client is ever made (a Lambda function whose tasks succeed) the SDK isn't loaded either.
    from botocore import exceptions as sdk
    from botocore.parsers import ResponseParserError

    no_credentials = (
        sdk.NoCredentialsError,
        sdk.PartialCredentialsError,
        sdk.ProfileNotFound,
        sdk.SSOError,
        sdk.TokenRetrievalError,
        sdk.UnauthorizedSSOTokenError,
    )
    unreachable = (
        sdk.HTTPClientError,  # connection refused, cut, reset, timed out, TLS
        sdk.ConnectionError,
        sdk.CredentialRetrievalError,
        sdk.MetadataRetrievalError,
        sdk.ResponseStreamingError,
        ResponseParserError,  # an answer that is none of the service, from a proxy say
    )
    if isinstance(error, sdk.ClientError):
        said = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
        return _by_code(_bare(str(said.get("Code", ""))), str(said.get("Message", "")), queue, status)
    if isinstance(error, no_credentials):
        return PermissionDenied(
            f"Amazon SQS can't be called: {error}", hint="give the SDK credentials: its environment, profile or role"
        )
    if isinstance(error, unreachable):
        reason = getattr(error, "kwargs", {}).get("error")  # which the SDK's own text leaves out
        told = f"{error}" if reason is None else f"{error} ({reason})"
        return BackendUnavailable(f"Amazon SQS can't be reached: {told}", hint="check the network and the endpoint")
    if isinstance(error, (sdk.NoRegionError, sdk.InvalidRegionError)):
        return ConfigurationError(str(error), hint="sqs://REGION names the region")
    if isinstance(error, sdk.BotoCoreError):
        return BackendError(f"queue {queue!r}: {error}")
    return error


def _by_code(code: str, text: str, queue: str, status: int) -> BackendError | LeaseLost | MessageTooLarge:
    said = f"{code}: {text}" if text else code
    if code in _MISSING:
        return QueueNotFound(
            f"there is no queue {queue!r} on Amazon SQS",
            hint=f"make it with your infrastructure, or for development: cloudq queues create {queue}",
        )
    if code in _LOST or (code.startswith("InvalidParameterValue") and any(word in text for word in _LOST_WORDS)):
        return LeaseLost(f"the lease on a message of queue {queue!r} is over ({said})")
    if code in _TOO_LARGE or (
        code.startswith("InvalidParameterValue") and any(word in text for word in _TOO_LARGE_WORDS)
    ):
        return MessageTooLarge(
            f"queue {queue!r} doesn't take so large a message: {said}", hint=TOO_LARGE_HINT, limit=_limit_in(text)
        )
    if any(word in text for word in _SKEW_WORDS):
        return BackendUnavailable(
            f"queue {queue!r}: {said}", hint="this machine's clock is off by more than a few minutes: set it"
        )
    if code in _EXPIRED:
        return BackendUnavailable(f"queue {queue!r}: {said}", hint="the credentials have expired")
    if code in _THROTTLED or status == 429:
        return Throttled(f"queue {queue!r}: {said}")
    if code in _DENIED or status in {401, 403}:  # after the codes above, some of which come with 403
        return PermissionDenied(f"queue {queue!r}: {said}", hint="check the policies of the credentials and the queue")
    if code in _DOWN or status >= 500:
        return BackendUnavailable(f"queue {queue!r}: {said}")
    return BackendError(f"queue {queue!r}: {said}")


def _limit_in(text: str) -> int | None:
    """The most bytes that the queue takes, where the service's words say it."""
    found = _LIMIT.search(text)
    return int(found[1]) if found else None


def _bare(code: str) -> str:
    """The code without the namespace that some answers put before it."""
    return code.rpartition(".")[2].rpartition("#")[2]
