"""Each error of the SDK has one meaning here, and is kept as its cause."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.servicebus import exceptions as sdk
from azure.servicebus._pyamqp.error import TokenAuthFailure

from cloudq.core.delivery import Lease
from cloudq.drivers.service_bus.faults import lease_lost, translate
from cloudq.drivers.service_bus.sdk import Unconfirmed
from cloudq.errors import (
    BackendError,
    BackendUnavailable,
    LeaseLost,
    MessageTooLarge,
    PermissionDenied,
    QueueNotFound,
    Throttled,
    TransientError,
    UnsupportedError,
)


class Answer:
    """As much of an HTTP response as the SDK's errors look at."""

    reason = "because"

    def __init__(self, status: int) -> None:
        self.status_code = status
        self.headers: dict[str, str] = {}

    def text(self, encoding: str | None = None) -> str:
        return ""


@pytest.mark.parametrize(
    ("error", "meant"),
    [
        (sdk.MessageLockLostError(message="gone"), LeaseLost),
        (sdk.SessionLockLostError(message="gone"), LeaseLost),
        (sdk.MessageNotFoundError(message="gone"), LeaseLost),
        (sdk.ServiceBusError(message="Delivery tag not found. Error condition: amqp:illegal-state."), LeaseLost),
        (sdk.MessagingEntityNotFoundError(message="no"), QueueNotFound),
        (ResourceNotFoundError("no"), QueueNotFound),
        (sdk.MessageSizeExceededError(message="large"), MessageTooLarge),
        (sdk.ServiceBusAuthenticationError(message="who"), PermissionDenied),
        (sdk.ServiceBusAuthorizationError(message="no"), PermissionDenied),
        (ClientAuthenticationError("who"), PermissionDenied),
        (sdk.ServiceBusServerBusyError(message="slow"), Throttled),
        (sdk.ServiceBusConnectionError(message="cut"), BackendUnavailable),
        (sdk.ServiceBusCommunicationError(message="dns"), BackendUnavailable),
        (sdk.OperationTimeoutError(message="late"), BackendUnavailable),
        (ServiceRequestError("refused"), BackendUnavailable),
        (ServiceResponseError("cut"), BackendUnavailable),
        (Unconfirmed("no answer"), BackendUnavailable),
        (ConnectionResetError("cut"), BackendUnavailable),
        (HttpResponseError(response=Answer(401)), PermissionDenied),
        (HttpResponseError(response=Answer(429)), Throttled),
        (HttpResponseError(response=Answer(503)), BackendUnavailable),
        (HttpResponseError(response=Answer(400)), BackendError),
        (sdk.ServiceBusQuotaExceededError(message="full"), BackendError),
        (sdk.ServiceBusError(message="Error condition: amqp:not-allowed. requires sessions"), UnsupportedError),
        (RuntimeError("a bug"), BackendError),
    ],
)
def test_an_error_is_translated(error: Exception, meant: type[Exception]) -> None:
    """Whatever the SDK raises becomes the one error that says what it means."""
    made = translate(error, "mail")
    assert type(made) is meant
    assert made.__cause__ is error
    assert "mail" in str(made) or isinstance(made, BackendUnavailable)


def test_a_token_that_is_for_no_queue() -> None:
    """Service Bus refuses the token before the link where there is no such queue: that is no matter of permissions."""
    refused = sdk.ServiceBusAuthenticationError(message="no", error=TokenAuthFailure(404, b"not found"))
    assert type(translate(refused, "mail")) is QueueNotFound
    refused = sdk.ServiceBusAuthenticationError(message="no", error=TokenAuthFailure(401, b"who"))
    assert type(translate(refused, "mail")) is PermissionDenied


def test_our_own_errors_stay() -> None:
    """What is translated already isn't wrapped again."""
    error = QueueNotFound("no queue")
    assert translate(error, "mail") is error


def test_a_full_queue_isnt_tried_again_at_once() -> None:
    """A quota passes only once somebody receives: a producer's short retries would only wait."""
    assert not isinstance(translate(sdk.ServiceBusQuotaExceededError(message="full"), "mail"), TransientError)


def test_a_lost_lease_names_its_queue() -> None:
    """The report says where."""
    lease = Lease(queue="mail", receipt=None, expires_at=datetime.now(UTC), ends=timedelta(0))
    assert "'mail'" in str(lease_lost(lease))
