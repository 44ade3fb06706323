"""From botocore's errors to those of cloudq, each with its cause."""

from __future__ import annotations

import pytest
from botocore import exceptions as sdk

from cloudq.drivers.sqs.faults import of_item, translate
from cloudq.errors import (
    BackendError,
    BackendUnavailable,
    LeaseLost,
    MessageTooLarge,
    PermissionDenied,
    QueueNotFound,
    Throttled,
    TransientError,
)
from tests.unit.drivers.sqs.fakes import client_error

ENDPOINT = "https://sqs.test"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (client_error("AWS.SimpleQueueService.NonExistentQueue"), QueueNotFound),
        (client_error("QueueDoesNotExist"), QueueNotFound),
        (client_error("AccessDenied", status=403), PermissionDenied),
        (client_error("AccessDeniedException"), PermissionDenied),
        (client_error("InvalidClientTokenId", status=403), PermissionDenied),
        (client_error("SignatureDoesNotMatch", status=403), PermissionDenied),
        (client_error("KmsAccessDenied"), PermissionDenied),
        (client_error("SomethingNew", status=403), PermissionDenied),
        (client_error("RequestThrottled", status=403), Throttled),
        (client_error("ThrottlingException"), Throttled),
        (client_error("OverLimit"), Throttled),
        (client_error("AWS.SimpleQueueService.PurgeQueueInProgress", status=403), Throttled),
        (client_error("SomethingNew", status=429), Throttled),
        (client_error("ExpiredToken", status=403), BackendUnavailable),
        (client_error("ExpiredTokenException"), BackendUnavailable),
        (client_error("InternalError", status=500), BackendUnavailable),
        (client_error("ServiceUnavailable", status=503), BackendUnavailable),
        (client_error("SomethingNew", status=502), BackendUnavailable),
        (client_error("AWS.SimpleQueueService.BatchRequestTooLong"), MessageTooLarge),
        (
            client_error("InvalidParameterValue", "One or more parameters are invalid. Message must be shorter than 9"),
            MessageTooLarge,
        ),
        (
            client_error("InvalidParameterValueException", "Value x for parameter ReceiptHandle is invalid."),
            LeaseLost,
        ),
        (client_error("AWS.SimpleQueueService.MessageNotInflight"), LeaseLost),
        (client_error("ReceiptHandleIsInvalid"), LeaseLost),
        (client_error("InvalidParameterValue", "Value 7 for parameter DelaySeconds is invalid."), BackendError),
        (client_error("UnsupportedOperation"), BackendError),
        (sdk.EndpointConnectionError(endpoint_url=ENDPOINT), BackendUnavailable),
        (sdk.ConnectTimeoutError(endpoint_url=ENDPOINT), BackendUnavailable),
        (sdk.ReadTimeoutError(endpoint_url=ENDPOINT), BackendUnavailable),
        (sdk.ConnectionClosedError(endpoint_url=ENDPOINT), BackendUnavailable),
        (sdk.HTTPClientError(error="reset"), BackendUnavailable),
        (sdk.CredentialRetrievalError(provider="imds", error_msg="slow"), BackendUnavailable),
        (sdk.NoCredentialsError(), PermissionDenied),
        (sdk.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"), PermissionDenied),
        (sdk.ParamValidationError(report="no"), BackendError),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else repr(value)[:60],
)
def test_an_error_is_told_in_our_words(error, expected):
    """Exactly that class, with the SDK's error as its cause."""
    meant = translate(error, "emails")
    assert expected is type(meant)
    assert error is meant.__cause__


def test_what_passes_by_itself_is_transient():
    """What is worth another try is told apart from what isn't."""
    passing = [client_error("ThrottlingException"), client_error("InternalError", status=500)]
    assert all(isinstance(translate(error, "q"), TransientError) for error in passing)
    assert not isinstance(translate(client_error("AccessDenied"), "q"), TransientError)


def test_what_is_no_error_of_the_sdk_stays_itself():
    """A bug isn't dressed up as the backend's failure."""
    error = ZeroDivisionError("bug")
    assert error is translate(error, "q")
    assert error.__cause__ is None


@pytest.mark.parametrize(
    ("failed", "expected"),
    [
        ({"Code": "InternalError", "SenderFault": False}, BackendUnavailable),
        ({"Code": "SomethingNew", "SenderFault": False}, BackendUnavailable),
        ({"Code": "SomethingNew", "SenderFault": True}, BackendError),
        ({"Code": "RequestThrottled", "SenderFault": True}, Throttled),
        ({"Code": "AWS.SimpleQueueService.MessageNotInflight", "SenderFault": True}, LeaseLost),
        ({"Code": "ReceiptHandleIsInvalid", "SenderFault": True}, LeaseLost),
    ],
)
def test_an_item_s_failure_is_told_by_code_and_fault(failed, expected):
    """A failure that isn't the sender's fault passes by itself, whatever its code."""
    assert expected is type(of_item(failed, "q"))


@pytest.mark.parametrize("code", ["InvalidSignatureException", "SignatureDoesNotMatch"])
@pytest.mark.parametrize("said", ["Signature expired: 1 is now earlier than 2", "Signature not yet current: 3"])
def test_a_clock_that_is_off_is_no_missing_permission(code: str, said: str) -> None:
    """It passes once the clock is set, and the hint says so."""
    meant = translate(client_error(code, said, status=403), "q")
    assert isinstance(meant, BackendUnavailable)
    assert "clock" in (meant.hint or "")


def test_why_there_is_no_connection_is_told() -> None:
    """The SDK's own text names the endpoint only."""
    meant = translate(sdk.EndpointConnectionError(endpoint_url=ENDPOINT, error=OSError("name resolution")), "q")
    assert "name resolution" in str(meant)
