"""`Observer`: several as one, and for how long a message has waited."""

from __future__ import annotations

import inspect
import logging
from datetime import UTC, datetime, timedelta

import pytest

from cloudq.core.delivery import Delivery, Lease
from cloudq.core.driver import SendResult
from cloudq.core.ending import Ending
from cloudq.core.message import Message
from cloudq.core.observing import Observer, age_at, composed

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
MESSAGE = Message(id="1", task="shop.welcome", queue="q")


def delivery(message: Message | None = MESSAGE, stored_at: datetime | None = None) -> Delivery:
    return Delivery(
        queue="q",
        id="1",
        body=b"",
        message=message,
        undecodable=None,
        attempt=1,
        deliveries=1,
        stored_at=stored_at,
        lease=Lease(queue="q", receipt=None, ends=MINUTE, expires_at=NOW + MINUTE),
    )


ONE = delivery()
STORED = SendResult()
ERROR = ValueError("no")
TOLD: dict[str, tuple[object, ...]] = {
    "opened": ("aws_sqs", "sqs.eu-west-1.amazonaws.com"),
    "sent": (MESSAGE, STORED),
    "started": (ONE, MINUTE),
    "ended": (ONE, Ending.RETRIED, 0.5),
    "unrun": (ONE, Ending.DUPLICATE),
    "lease_renewed": ("q", 3),
    "lease_lost": (ONE,),
    "held_back": ("q", "paused"),
    "called": ("SendMessage", "q", 0.1, ERROR),
}
VERBS = [name for name, _ in inspect.getmembers(Observer, inspect.isfunction) if not name.startswith("_")]


class Recorder(Observer):
    """Keeps what it is told; raises for the verbs that it is to fail at."""

    def __init__(self, fails: BaseException | None = None) -> None:
        self.told: list[tuple[str, tuple[object, ...]]] = []
        self.fails = fails

    def __getattribute__(self, name: str) -> object:
        if name not in TOLD:
            return super().__getattribute__(name)

        def tell(*arguments: object) -> None:
            self.told.append((name, arguments))
            if self.fails is not None:
                raise self.fails

        return tell


def test_each_verb_is_tried_here() -> None:
    """A new one has a line in the table above."""
    assert sorted(TOLD) == sorted(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_each_of_several_is_told(verb: str) -> None:
    """In their order, the same."""
    first, second = Recorder(), Recorder()
    both = composed([first, second])
    assert both is not None
    getattr(both, verb)(*TOLD[verb])
    assert [(verb, TOLD[verb])] == first.told == second.told


@pytest.mark.parametrize("verb", VERBS)
def test_one_that_fails_keeps_nobody_from_being_told(verb: str, caplog: pytest.LogCaptureFixture) -> None:
    """It raises nothing into a send or a run, be it `sys.exit`; the log says so once."""
    caplog.set_level(logging.ERROR, "cloudq")
    second = Recorder()
    both = composed([Recorder(SystemExit(1)), second])
    assert both is not None
    for _ in range(2):
        getattr(both, verb)(*TOLD[verb])
    assert [(verb, TOLD[verb])] * 2 == second.told
    assert [f"an observer failed at '{verb}', which is said once: 1"] == caplog.messages


def test_ctrl_c_in_an_observer_is_nobodys_slip() -> None:
    """It ends the program, as anywhere else in the main thread."""
    one = composed([Recorder(KeyboardInterrupt())])
    assert one is not None
    with pytest.raises(KeyboardInterrupt):
        one.lease_lost(ONE)


def test_without_observers_nobody_is_told() -> None:
    """So that whoever tells asks one question."""
    assert composed([]) is None


@pytest.mark.parametrize("verb", VERBS)
def test_an_observer_overrides_what_it_wants(verb: str) -> None:
    """All else does nothing."""
    assert getattr(Observer(), verb)(*TOLD[verb]) is None


@pytest.mark.parametrize(
    ("one", "age"),
    [
        (delivery(Message(id="1", task="t", queue="q", sent_at=NOW - MINUTE)), MINUTE),
        (delivery(Message(id="1", task="t", queue="q", sent_at=NOW - 3 * MINUTE), NOW - 2 * MINUTE), 2 * MINUTE),
        (
            delivery(Message(id="1", task="t", queue="q", not_before=NOW - MINUTE), NOW - 2 * MINUTE),
            MINUTE,
        ),
        (delivery(None, NOW - MINUTE), MINUTE),
        (delivery(Message(id="1", task="t", queue="q", sent_at=NOW + MINUTE)), timedelta(0)),
        (delivery(), None),
        (delivery(None), None),
    ],
    ids=["sent", "stored", "due", "undecodable", "by a clock ahead", "nobody says", "nor of that"],
)
def test_a_message_has_waited_since_it_was_due(one: Delivery, age: timedelta | None) -> None:
    """Else since it was stored, else since it was sent; never for less than nothing."""
    assert age == age_at(one, NOW)
