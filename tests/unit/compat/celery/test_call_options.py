"""The tables of a call's options, of a retry's and of a request's fields, held to Celery's own."""

from __future__ import annotations

import inspect

import celery
import pytest
from celery.app.amqp import AMQP
from celery.app.task import Context, extract_exec_options
from kombu.messaging import Producer

from cloudq.compat.celery.call_options import CALL_OPTIONS, REQUEST_FIELDS, RETRY_OPTIONS
from cloudq.compat.celery.request import Request
from cloudq.compat.celery.verdicts import Verdict
from cloudq.errors import OptionError
from tests.unit.compat.celery.reading import named, names_asked_for, public


def test_each_option_of_a_call_is_in_the_table() -> None:
    """Of `apply_async` and `send_task`, of the message that they make, and of what publishes it."""
    asked = named(celery.Task.apply_async) | named(celery.Celery.send_task)
    asked |= named(AMQP.as_task_v2) | named(Producer.publish)
    asked |= set(inspect.getclosurevars(extract_exec_options).nonlocals["attrs"])
    asked |= names_asked_for(celery.Celery.send_task, "options.get", "options.pop")
    asked |= names_asked_for(celery.Task.apply_async, "options.get", "options.pop")
    assert {"countdown", "retry_policy", "expiration"} < asked
    assert set() == asked - set(CALL_OPTIONS)


def test_each_option_of_a_retry_is_in_the_table() -> None:
    """What else is passed on is refused by its name, but for what the message has anyway."""
    assert named(celery.Task.retry) | {"MessageGroupId"} == set(RETRY_OPTIONS)


def test_each_field_of_a_request_is_in_the_table() -> None:
    """Those of Celery's Context."""
    assert set() == public(Context) - set(REQUEST_FIELDS)


@pytest.mark.parametrize("name", sorted(n for n, e in REQUEST_FIELDS.items() if e.verdict is not Verdict.REFUSED))
def test_a_field_that_maps_is_there(name) -> None:
    """On our request."""
    assert hasattr(Request, name)


@pytest.mark.parametrize("name", sorted(n for n, e in CALL_OPTIONS.items() if e.verdict is Verdict.REFUSED))
def test_a_call_refuses_by_name(app, name) -> None:
    """Nothing is dropped in silence."""
    task = app.task(name="t")(lambda: None)
    with pytest.raises(OptionError, match=f"'{name}' can't be honoured"):
        task.apply_async(**{name: object()})
