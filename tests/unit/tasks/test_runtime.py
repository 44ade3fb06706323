"""`app.runtime`: what edges and tools work with."""

from __future__ import annotations

import pytest

from cloudq import App
from cloudq.core.message import Message
from cloudq.core.reference import Reference
from cloudq.errors import ConfigurationError


def test_it_follows_later_declarations() -> None:
    """An edge may be made before the last module is imported."""
    app = App("memory://")
    handlers = app.runtime.handlers
    assert ({}, []) == (dict(handlers), app.runtime.declared_queues())

    @app.task("b", queue="second", aliases=["old"])
    def b() -> None: ...

    @app.task("a", queue="first")
    def a() -> None: ...

    assert {"b", "old", "a"} == set(handlers)
    assert ["second", "first"] == app.runtime.declared_queues()


def test_without_a_store_payloads_are_in_their_messages() -> None:
    """A message that refers to one says what is missing; nothing is ever deleted."""
    app = App("memory://")
    message = Message(id="1", task="t", queue="q", payload={"a": 1})
    assert message is app.runtime.with_payload(message)
    assert (None, None) == (app.runtime.payload_deleter(), app.runtime.claim_check_url)
    refers = Message(id="1", task="t", queue="q", reference=Reference(key="a", sha256="0" * 64, size=1))
    with pytest.raises(ConfigurationError, match="no claim-check store is configured"):
        app.runtime.with_payload(refers)
