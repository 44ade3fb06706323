"""Errors of Google's SDK as those of cloudq."""

from __future__ import annotations

from concurrent import futures

import pytest
from google.api_core import exceptions as api
from google.auth import exceptions as auth

from cloudq.drivers.cloud_tasks.faults import of_status, translate
from cloudq.errors import (
    BackendError,
    BackendUnavailable,
    MessageTooLarge,
    PermissionDenied,
    QueueNotFound,
    Throttled,
    TransientError,
)

KNOWN = [
    (api.NotFound("Queue does not exist."), QueueNotFound),
    (api.ResourceExhausted("quota"), Throttled),
    (api.TooManyRequests("quota"), Throttled),
    (api.PermissionDenied("cloudtasks.tasks.create"), PermissionDenied),
    (api.Unauthenticated("no token"), PermissionDenied),
    (api.InvalidArgument("Task size too large"), MessageTooLarge),
    (api.InvalidArgument("HttpRequest.url is no URL"), BackendError),
    (api.FailedPrecondition("the queue is disabled"), BackendError),
    (api.MethodNotImplemented("no such method"), BackendError),
    (api.ServiceUnavailable("connection refused"), BackendUnavailable),
    (api.DeadlineExceeded("10 s"), BackendUnavailable),
    (api.InternalServerError("oops"), BackendUnavailable),
    (api.Unknown("oops"), BackendUnavailable),
    (api.Aborted("try again"), BackendUnavailable),
    (api.Cancelled("the channel was closed"), BackendUnavailable),
    (futures.TimeoutError(), BackendUnavailable),
    (auth.DefaultCredentialsError("none found"), PermissionDenied),
    (auth.RefreshError("reauthentication is needed"), PermissionDenied),
    (auth.RefreshError("metadata server", retryable=True), BackendUnavailable),
    (auth.TransportError("no route"), BackendUnavailable),
    (ValueError("Cannot invoke RPC on closed channel!"), BackendError),
]


@pytest.mark.parametrize(("error", "meant"), KNOWN, ids=[repr(error)[:50] for error, _ in KNOWN])
def test_each_error_means_one_of_ours(error, meant):
    """With the SDK's own as its cause, and transient only where trying again can help."""
    translated = translate(error, "emails")
    assert type(translated) is meant
    assert error is translated.__cause__
    assert isinstance(translated, TransientError) is issubclass(meant, TransientError)


def test_an_error_says_what_to_do():
    """The queue's name and the command that makes it; where there are no credentials, how to get some."""
    assert "cloudq queues create emails" in translate(api.NotFound("x"), "emails").hint
    assert "gcloud auth" in translate(auth.DefaultCredentialsError("none"), "emails").hint
    no_token = api.ServiceUnavailable("Getting metadata from plugin failed with error: Reauthentication is needed")
    assert "gcloud auth" in translate(no_token, "emails").hint


def test_what_is_not_the_sdk_s_stays_as_it_is():
    """A mistake in our own code must not look like one of the service."""
    error = KeyError("x")
    assert error is translate(error, "emails")
    assert error.__cause__ is None


def test_a_status_is_the_error_that_a_call_would_raise():
    """An item of a batch that fails with NOT_FOUND is a queue that isn't there."""
    assert isinstance(translate(of_status(5, "Queue does not exist."), "emails"), QueueNotFound)
    assert isinstance(of_status(6, "taken"), api.AlreadyExists)
