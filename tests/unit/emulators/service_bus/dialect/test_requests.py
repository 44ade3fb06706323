"""`$cbs` and `$management`: answers, refusals, and responses that nobody takes."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from cloudq.emulators.service_bus.amqp.encoding import encode, encode_described
from cloudq.emulators.service_bus.amqp.performatives import Attach, Detach, Disposition
from cloudq.emulators.service_bus.amqp.sections import Section
from cloudq.emulators.service_bus.amqp.termini import Source, Target
from cloudq.emulators.service_bus.amqp.types import Array, Int, Timestamp
from cloudq.emulators.service_bus.dialect import names
from cloudq.emulators.service_bus.dialect.faults import FaultPoint
from cloudq.emulators.service_bus.dialect.requests import MOST_WAITING
from tests.unit.emulators.service_bus.dialect.stage import START, Stage, answer, message, request

NOBODY = UUID(int=9)


def test_tokens() -> None:
    """Every token is right; what isn't `put-token` is told so; a refusal can be ordered."""
    stage = Stage()
    assert 202 == stage.ask("put-token", "token", node="$cbs", name="q", type="jwt")[0]["status-code"]
    assert 400 == Stage().ask("take-token", None, node="$cbs")[0]["status-code"]
    stage = Stage()
    stage.faults.fail(FaultPoint.AUTHORIZE, "amqp:unauthorized-access")
    assert 401 == stage.ask("put-token", "token", node="$cbs")[0]["status-code"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("q", 202),
        ("q/$DeadLetterQueue", 202),
        ("", 202),
        ("$cbs", 202),
        ("nowhere", 404),
        ("nowhere/Subscriptions/one", 404),
        ("nowhere/$management", 404),
    ],
)
def test_a_token_for_an_entity_that_is_not_there(path: str, status: int) -> None:
    """As the service does, which says it here and not when the link is attached."""
    said = Stage().ask("put-token", "token", node="$cbs", name=f"amqp://host/{path}", type="jwt")[0]
    assert status == said["status-code"]


def test_the_response_goes_where_it_is_wanted() -> None:
    """Of several links for responses the one that the request names gets it; the request's id comes back."""
    stage = Stage()
    for handle, name in ((1, "first"), (2, "second")):
        source, target = Source(address="q/$management"), Target(address=name)
        stage.say(Attach(name=name, handle=handle, role=True, source=source, target=target))
        stage.give_credit(5, handle=handle)
    stage.attach_sender("q/$management")
    asked = encode_described(Section.PROPERTIES, encode([7, None, None, None, "second"])) + encode_described(
        Section.APPLICATION_PROPERTIES, encode({"operation": "nonsense"})
    )
    transfer, disposition = stage.send(asked)
    assert (2, True) == (transfer.handle, isinstance(disposition, Disposition))
    assert 501 == answer(stage.payloads[-1])[0]["statusCode"]
    assert encode([None, None, None, None, None, 7]) in stage.payloads[-1]


def test_responses_wait_for_credit() -> None:
    """A response waits until the client takes it; too many of them are refused."""
    stage = Stage()
    stage.attach_receiver("q/$management")
    stage.attach_sender("q/$management")
    asked = request("com.microsoft:peek-message", {"from-sequence-number": 1, "message-count": Int(1)})
    assert ["disposition"] == [item.NAME for item in stage.send(asked)]
    assert ["transfer"] == [item.NAME for item in stage.give_credit(1)]
    for _ in range(MOST_WAITING):
        stage.send(asked)
    (refused,) = [item for item in stage.send(asked) if isinstance(item, Disposition)]
    assert "amqp:resource-limit-exceeded" == refused.state.error.condition


def test_nowhere_to_answer() -> None:
    """A request without a link for the response, or that can't be read, is rejected."""
    stage = Stage()
    stage.attach_sender("q/$management")
    (refused,) = stage.send(request("x", None))
    assert "amqp:not-found" == refused.state.error.condition
    (refused,) = stage.send(b"nonsense")
    assert "amqp:decode-error" == refused.state.error.condition


@pytest.mark.parametrize(
    ("operation", "body", "status", "condition"),
    [
        ("transmogrify", {}, 501, "amqp:not-implemented"),
        ("peek-message", [], 400, "amqp:invalid-field"),
        ("peek-message", {"message-count": 1}, 400, "amqp:invalid-field"),
        ("peek-message", {"from-sequence-number": True, "message-count": 1}, 400, "amqp:invalid-field"),
        ("renew-lock", {"lock-tokens": Array(UUID, (NOBODY,))}, 410, "com.microsoft:message-lock-lost"),
        ("renew-lock", {"lock-tokens": ["no uuid"]}, 400, "amqp:invalid-field"),
        ("renew-lock", {}, 400, "amqp:invalid-field"),
        ("cancel-scheduled-message", {"sequence-numbers": [1]}, 404, "com.microsoft:message-not-found"),
        ("cancel-scheduled-message", {"sequence-numbers": ["x"]}, 400, "amqp:invalid-field"),
        ("cancel-scheduled-message", {"sequence-numbers": [1] * 10_001}, 400, "amqp:invalid-field"),
        ("schedule-message", {"messages": [{"message": b"nonsense"}]}, 400, "amqp:decode-error"),
        ("schedule-message", {"messages": [{"message": "text"}]}, 400, "amqp:invalid-field"),
        ("update-disposition", {"disposition-status": "eaten", "lock-tokens": [NOBODY]}, 400, "amqp:invalid-field"),
        ("update-disposition", {"lock-tokens": []}, 400, "amqp:invalid-field"),
        ("batch-delete-messages", {"message-count": 1}, 400, "amqp:invalid-field"),
        ("batch-delete-messages", {"enqueued-time-utc": Timestamp(0)}, 400, "amqp:invalid-field"),
        (
            "batch-delete-messages",
            {"message-count": 501, "enqueued-time-utc": Timestamp(0)},
            400,
            "com.microsoft:argument-out-of-range",
        ),
        ("renew-session-lock", {"session-id": "s"}, 400, "amqp:not-allowed"),
        ("add-rule", {"rule-name": "r", "rule-description": {}}, 400, "amqp:not-allowed"),
        ("enumerate-rules", {}, 400, "amqp:not-allowed"),
    ],
)  # fmt: skip
def test_what_management_refuses(operation: str, body: object, status: int, condition: str) -> None:
    """Each refusal has a status and a condition, and says why."""
    properties, _ = Stage().ask(f"com.microsoft:{operation}", body)
    assert (status, condition) == (properties["statusCode"], properties["errorCondition"])
    assert properties["statusDescription"]


def test_nothing_found() -> None:
    """Where there is nothing to answer with, the status is 204."""
    assert (
        204
        == Stage().ask("com.microsoft:peek-message", {"from-sequence-number": 1, "message-count": 5})[0]["statusCode"]
    )


def test_a_batch_is_deleted() -> None:
    """The answer says how many; if there are none any more the status says so."""
    stage = Stage()
    stage.attach_sender()
    for _ in range(3):
        stage.send(message())
    body = {"message-count": Int(2), "enqueued-time-utc": Timestamp(names.to_millis(START + timedelta(seconds=1)))}
    answers = [Stage(stage).ask("com.microsoft:batch-delete-messages", body) for _ in range(3)]
    assert [(200, {"message-count": 2}), (200, {"message-count": 1}), (204, None)] == [
        (properties["statusCode"], found) for properties, found in answers
    ]


def test_sessions_are_listed() -> None:
    """All sessions with the last of all moments, otherwise those whose state changed since."""
    stage = Stage(requires_session=True)
    stage.attach_sender()
    for name in ("a", "b"):
        stage.send(encode_described(Section.PROPERTIES, encode([None] * 10 + [name])) + message())
    body = {"last-updated-time": Timestamp(253_402_300_800_000), "skip": Int(0), "top": Int(10)}
    properties, found = stage.ask("com.microsoft:get-message-sessions", body)
    assert (200, {"skip": 2, "sessions-ids": Array(str, ("a", "b"))}) == (properties["statusCode"], found)
    stage = Stage(requires_session=True)
    body = body | {"last-updated-time": Timestamp(names.to_millis(START))}
    assert 204 == stage.ask("com.microsoft:get-message-sessions", body)[0]["statusCode"]


def test_nodes_of_what_isnt_there() -> None:
    """There is no `$management` of an entity that isn't there, in either direction."""
    stage = Stage()
    for attach in (stage.attach_sender, stage.attach_receiver):
        answered, detach = attach("missing/$management")
        assert isinstance(detach, Detach)
        assert (None, None, "amqp:not-found") == (answered.source, answered.target, detach.error.condition)


def test_renewing() -> None:
    """A lock is renewed by the entity's lock duration, from now."""
    stage = Stage(lock_duration=timedelta(seconds=30))
    stage.attach_sender()
    stage.attach_receiver()
    stage.send(message())
    (transfer,) = stage.give_credit(1)
    stage.later(10)
    token = UUID(bytes_le=transfer.delivery_tag)
    _, found = stage.ask("com.microsoft:renew-lock", {"lock-tokens": Array(UUID, (token,))})
    until = names.to_millis(START + timedelta(seconds=40))
    assert {"expirations": Array(Timestamp, (Timestamp(until),))} == found
