"""The tasks that an app declares, by name and alias."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from cloudq import App
from cloudq.core.driver import Final, NativeDeadLetter
from cloudq.core.failure import Failure
from cloudq.core.fingerprint import fingerprint
from cloudq.core.message import Message
from cloudq.core.redriving import former_fingerprints
from cloudq.errors import ConfigurationError, PayloadError, TaskDefinitionError, UnknownTaskError
from cloudq.tasks.options import TaskOptions
from cloudq.tasks.registry import Registry
from cloudq.testing import in_memory


def function() -> None: ...


def another() -> None: ...


def test_a_task_is_found_by_its_name_and_its_aliases() -> None:
    """Aliases are no tasks of their own."""
    registry = Registry()
    task = registry.declare(App("memory://"), function, "f", {"aliases": ["old"]})
    assert {"f": task} == dict(registry.tasks)
    assert {"f", "old"} == set(registry.definitions)


def test_a_name_is_taken_once_but_by_the_same_place() -> None:
    """A module that is reloaded declares the same again."""
    registry, app = Registry(), App("memory://")
    registry.declare(app, function, "f", {})
    registry.declare(app, function, "f", {})
    with pytest.raises(TaskDefinitionError, match="is declared twice"):
        registry.declare(app, another, "f", {})


def test_a_task_is_no_function_to_declare() -> None:
    """Its function is."""
    registry, app = Registry(), App("memory://")
    task = registry.declare(app, function, "f", {})
    with pytest.raises(TaskDefinitionError, match="is a task already") as raised:
        registry.declare(app, task, "g", {})
    assert "__wrapped__" in str(raised.value.hint)


def test_a_module_that_can_not_be_imported_is_named() -> None:
    """At start, with what was raised."""
    with pytest.raises(ConfigurationError, match="imports names 'no_such_module_at_all'"):
        Registry().load(["no_such_module_at_all"])


def keyed(order: int, requested_at: str = "") -> None: ...


def test_a_fingerprint_leaves_out_what_its_task_ignores() -> None:
    """As the claim of a run does; of a task that isn't known it is of all."""
    registry = Registry()
    options: TaskOptions = {"idempotency_key": "{order}", "idempotency_ignore": ["requested_at"]}
    registry.declare(App("memory://"), keyed, "f", options)
    whole, bare = ({"order": 1, "requested_at": "now"}, {"order": 1})
    known = {registry.fingerprint_of(Message(id="1", task="f", queue="q", payload=one)) for one in (whole, bare)}
    unknown = {registry.fingerprint_of(Message(id="1", task="g", queue="q", payload=one)) for one in (whole, bare)}
    assert {fingerprint(bare)} == known
    assert {fingerprint(bare), fingerprint(whole)} == unknown


def test_an_apps_edits_note_that_fingerprint() -> None:
    """So that the record of a key is known for one of the same work."""
    app = App("memory://")
    app.task("f", idempotency_key="{order}", idempotency_ignore=["requested_at"])(keyed)
    with in_memory(app):
        app.send("f", {"order": 1, "requested_at": "now"})
        driver = app.driver()
        (delivery,) = driver.receive("default", limit=1, wait=timedelta(0), lease=timedelta(minutes=1))
        driver.settle([Final(lease=delivery.lease, step=NativeDeadLetter(failure=Failure(reason="r")))])
        letters = app.queue("default").dead_letters
        done = letters.edit(lambda message: replace(message, payload={"order": 2}), by="ann")
        assert (1, ()) == (done.redriven, done.errors)
        (delivery,) = driver.receive("default", limit=1, wait=timedelta(0), lease=timedelta(minutes=1))
    assert {fingerprint({"order": 1}).hex()} == former_fingerprints(delivery.message)


def test_another_task_has_to_be_one_of_these() -> None:
    """Once all are known; where there are none, nothing is known."""
    registry = Registry()
    registry.load([])
    registry.check_task("g")
    registry = Registry()
    registry.declare(App("memory://"), keyed, "f", {})
    registry.check_task("g")
    registry.load([])
    registry.check_task("f")
    with pytest.raises(UnknownTaskError, match="no task 'g' is declared"):
        registry.check_task("g")


def test_a_payload_that_its_task_would_not_take_is_refused() -> None:
    """Nothing is known of others."""
    registry = Registry()
    registry.declare(App("memory://"), keyed, "f", {})
    registry.check_payload(Message(id="1", task="f", queue="q", payload={"order": 1}))
    registry.check_payload(Message(id="1", task="g", queue="q", payload={"anything": 1}))
    for payload in ({}, {"order": "one"}, {"order": 1, "more": 2}):
        with pytest.raises(PayloadError):
            registry.check_payload(Message(id="1", task="f", queue="q", payload=payload))
