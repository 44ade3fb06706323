"""What declarations say of flow control."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from cloudq import App, ConfigurationError, Rate, TaskDefinitionError
from cloudq.core.message import Message
from cloudq.core.reference import Reference
from cloudq.core.shield import Ended
from cloudq.tasks.binding import Parameters
from cloudq.tasks.flow_options import UNKNOWN_KEY, UNLIMITED, key_of


def declared(**options: Any) -> Any:
    app = App("memory://")

    @app.task("t", **options)
    def t(customer: str, n: int = 1) -> None: ...

    return app.runtime.handlers["t"]


def test_a_task_without_a_rate_is_not_limited() -> None:
    """It costs one look at each delivery."""
    assert declared().flow is UNLIMITED
    assert declared(rate=None).flow is UNLIMITED


def test_a_rate_is_a_text_or_a_rate() -> None:
    """Shared by all workers unless it says otherwise."""
    assert declared(rate="5/s").flow.rate.count == 5
    assert declared(rate="5/s").flow.shared
    assert not declared(rate=Rate("5/s", per_worker=True)).flow.shared


@pytest.mark.parametrize("rate", ["fast", 5, Rate("5/s", key="{nobody}"), Rate("5/s", key=7)])
def test_what_means_nothing_is_refused_at_the_declaration(rate: Any) -> None:
    """Naming the task."""
    with pytest.raises(TaskDefinitionError, match="'t'"):
        declared(rate=rate)


def test_a_message_is_counted_under_its_key() -> None:
    """A template or a function of the parameters, defaults included."""
    task = declared()
    message = Message(id="1", task="t", queue="q", payload={"customer": "ana"})
    assert key_of("{customer}-{n}", message, task.parameters) == "ana-1"
    assert key_of(lambda customer: customer.upper(), message, task.parameters) == "ANA"


@pytest.mark.parametrize("payload", [{}, {"customer": ""}, {"customer": "x" * 600}, {"other": 1}])
def test_messages_whose_key_is_not_known_share_one(payload: dict[str, object]) -> None:
    """What is wrong with them their run will say."""
    message = Message(id="1", task="t", queue="q", payload=payload)
    assert key_of("{customer}", message, declared().parameters) == UNKNOWN_KEY


RAISES: list[BaseException] = []


@dataclass
class Refusing:
    """A type whose own check raises what the test says."""

    name: str

    def __post_init__(self) -> None:
        raise RAISES.pop()


def refusing(customer: Refusing) -> None:
    """A task of one."""


@pytest.mark.parametrize("error", [KeyError("uk"), SystemExit(3), RecursionError()], ids=repr)
def test_what_a_types_own_check_raises_leaves_the_key_unknown(error: BaseException) -> None:
    """So does what a function of the user's raises. The run says what is wrong."""
    parameters = Parameters(refusing, "t")
    message = Message(id="1", task="t", queue="q", payload={"customer": {"name": "ana"}})
    RAISES.append(error)
    assert key_of("{customer.name}", message, parameters) == UNKNOWN_KEY
    assert not RAISES

    def slip(customer: str) -> str:
        raise error

    message = Message(id="1", task="t", queue="q", payload={"customer": "ana"})
    assert key_of(slip, message, declared().parameters) == UNKNOWN_KEY


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Ended()], ids=repr)
def test_an_interruption_from_outside_is_no_unknown_key(error: BaseException) -> None:
    """It is meant for who asked."""
    RAISES.append(error)
    message = Message(id="1", task="t", queue="q", payload={"customer": {"name": "ana"}})
    with pytest.raises(type(error)):
        key_of("{customer.name}", message, Parameters(refusing, "t"))


def test_a_payload_elsewhere_is_not_fetched_for_its_key() -> None:
    """A limit asks nobody."""
    reference = Reference(key="a", sha256="0" * 64, size=1)
    message = Message(id="1", task="t", queue="q", payload={"customer": "ana"}, reference=reference)
    assert key_of("{customer}", message, declared().parameters) == UNKNOWN_KEY


def test_queues_have_rates_by_their_names() -> None:
    """Of the app."""
    app = App("memory://", queue_rates={"mail": "50/s"})
    assert app.queue_rates["mail"].count == 50
    app.configure(default_queue="x")
    assert "mail" in app.queue_rates


@pytest.mark.parametrize("rates", ["50/s", {"mail": "fast"}, {1: "50/s"}, {"mail": Rate("5/s", key="{a}")}])
def test_what_is_no_rate_of_a_queue_is_refused(rates: Any) -> None:
    """A queue's messages have no parameters in common, so no key."""
    with pytest.raises(ConfigurationError, match="queue"):
        App("memory://", queue_rates=rates)
