"""The backend in use, as attributes say it."""

from __future__ import annotations

from cloudq.telemetry.backend import Backend


def test_a_backend_is_named_once_it_is_known() -> None:
    """Before that, by the conventions' word for what isn't."""
    backend = Backend()
    assert (False, {"messaging.system": "_OTHER"}) == (backend.known, backend.attributes())
    backend.opened("aws_sqs", "sqs.eu-west-1.amazonaws.com")
    assert backend.known
    assert {
        "messaging.system": "aws_sqs",
        "server.address": "sqs.eu-west-1.amazonaws.com",
        "messaging.destination.name": "q",
        "messaging.operation.name": "send",
    } == backend.attributes("q", **{"messaging.operation.name": "send"})


def test_what_is_no_host_has_no_address() -> None:
    """A file, or this process's memory."""
    backend = Backend()
    backend.opened("sqlite", None)
    assert {"messaging.system": "sqlite"} == backend.attributes()
