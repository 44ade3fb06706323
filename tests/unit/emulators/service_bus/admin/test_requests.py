"""Requests that no client of Azure's sends."""

from __future__ import annotations

import pytest

from cloudq.emulators.service_bus.admin.atom import ATOM, SERVICE_BUS
from cloudq.emulators.service_bus.admin.requests import Request, Response, handle
from cloudq.emulators.service_bus.broker.broker import Broker
from cloudq.emulators.service_bus.broker.settings import QueueSettings, SubscriptionSettings, TopicSettings
from cloudq.testing import FakeClock

ENTRY = (
    f'<entry xmlns="{ATOM}"><content type="application/xml">'
    f'<QueueDescription xmlns="{SERVICE_BUS}">%s</QueueDescription></content></entry>'
)


@pytest.fixture
def broker() -> Broker:
    return Broker(FakeClock())


def ask(broker: Broker, method: str, path: str, body: str | bytes = b"", **more: object) -> Response:
    content = body.encode() if isinstance(body, str) else body
    request = Request(method=method, origin="http://here", path=path, body=content, **more)  # type: ignore[arg-type]
    return handle(broker, request)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "no XML"),
        (b"\xff\xfe<", "isn't UTF-8"),
        (b"<entry>", "no XML"),
        (b"<entry/>", "no Atom entry"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>', "document type or entities"),
        ("<?xml version='1.0' encoding='utf-16'?><x/>".encode("utf-16"), "isn't UTF-8"),
        (ENTRY.replace("QueueDescription", "Other") % "", "no description of a queue or a topic"),
        (ENTRY % "<MaxDeliveryCount>many</MaxDeliveryCount>", "MaxDeliveryCount: 'many' is no whole number"),
        (ENTRY % "<LockDuration>1 minute</LockDuration>", "LockDuration: '1 minute' is no ISO 8601 duration"),
        (ENTRY % "<RequiresSession>maybe</RequiresSession>", "RequiresSession: 'maybe' is neither true nor false"),
        (ENTRY % "<Status>Asleep</Status>", "Status: 'Asleep' is none of Active"),
    ],
)
def test_bodies_that_are_refused(broker: Broker, body: str | bytes, text: str) -> None:
    """They are bad requests that say why, and make nothing."""
    response = ask(broker, "PUT", "/orders", body)
    assert 400 == response.status
    assert text in response.body.decode()
    assert [] == broker.entities.queues()


def test_entity_paths_are_unquoted(broker: Broker) -> None:
    """A name may have any characters, and folders."""
    assert 201 == ask(broker, "PUT", "/shop/b%C3%BCcher%20neu", ENTRY % "").status
    assert ["shop/bücher neu"] == [entity.name for entity in broker.entities.queues()]
    assert ">shop/bücher neu</title>" in ask(broker, "GET", "/shop/b%C3%BCcher%20neu").body.decode()


def test_forwarding_may_be_given_as_an_address(broker: Broker) -> None:
    """Clients write the address of the target, of which the path counts; it is given back as it was written."""
    ask(broker, "PUT", "/target", ENTRY % "")
    ask(broker, "PUT", "/orders", ENTRY % "<ForwardTo>sb://here:5672/target</ForwardTo>")
    assert "target" == broker.entities.queue("orders").settings.forward_path
    assert "<ForwardTo>sb://here:5672/target</ForwardTo>" in ask(broker, "GET", "/orders").body.decode()
    ask(broker, "PUT", "/orders", ENTRY % "<ForwardTo>sb://here</ForwardTo>", if_match=True)
    assert broker.entities.queue("orders").settings.forward_to is None


def test_forwarding_by_name_is_stated_as_an_address(broker: Broker) -> None:
    """What was configured by name has the host that the client used before it, in queues and in subscriptions."""
    broker.entities.create_queue("target", QueueSettings())
    broker.entities.create_queue("orders", QueueSettings(forward_to="target", forward_dead_letters_to="target"))
    broker.entities.create_topic("news", TopicSettings())
    broker.entities.create_subscription("news", "one", SubscriptionSettings(forward_to="target"))
    for path, name in (
        ("/orders", "ForwardTo"),
        ("/orders", "ForwardDeadLetteredMessagesTo"),
        ("/news/Subscriptions/one", "ForwardTo"),
    ):
        assert f"<{name}>sb://here/target</{name}>" in ask(broker, "GET", path).body.decode()


@pytest.mark.parametrize(
    ("inside", "text"),
    [
        ("<AuthorizationRule/>", "a rule has no KeyName"),
        ("<AuthorizationRule><KeyName>k</KeyName></AuthorizationRule>" * 13, "13; an entity has at most 12"),
        (
            "<AuthorizationRule><KeyName>k</KeyName><Rights><AccessRights>Own</AccessRights></Rights>"
            "</AuthorizationRule>",
            "'Own' is none of Send, Listen, Manage",
        ),
    ],
)
def test_keys_that_are_refused(broker: Broker, inside: str, text: str) -> None:
    """They are bad requests that say why, and make nothing."""
    response = ask(broker, "PUT", "/orders", ENTRY % f"<AuthorizationRules>{inside}</AuthorizationRules>")
    assert (400, True) == (response.status, text in response.body.decode())
    assert [] == broker.entities.queues()


@pytest.mark.parametrize("query", [{"$skip": "-1"}, {"$top": "x"}, {"$top": "9" * 20}])
def test_pages_that_are_no_numbers(broker: Broker, query: dict[str, str]) -> None:
    """They are bad requests."""
    assert 400 == ask(broker, "GET", "/$Resources/queues", query=query).status


def test_other_methods_and_nothing_to_delete(broker: Broker) -> None:
    """POST isn't served; deleting what isn't there is 404."""
    assert [405, 404] == [ask(broker, method, "/orders").status for method in ("POST", "DELETE")]


def test_a_description_of_another_kind(broker: Broker) -> None:
    """A queue isn't updated by a topic's description."""
    ask(broker, "PUT", "/orders", ENTRY % "")
    response = ask(broker, "PUT", "/orders", ENTRY.replace("Queue", "Topic") % "", if_match=True)
    assert 409 == response.status


def test_a_subscription_with_a_rule_of_its_own(broker: Broker) -> None:
    """`DefaultRuleDescription` takes the place of the rule for all messages."""
    ask(broker, "PUT", "/news", ENTRY.replace("Queue", "Topic") % "")
    rule = (
        '<DefaultRuleDescription xmlns:i="http://www.w3.org/2001/XMLSchema-instance">'
        '<Filter i:type="SqlFilter"><SqlExpression>a = 1</SqlExpression></Filter><Name>mine</Name>'
        "</DefaultRuleDescription>"
    )
    response = ask(broker, "PUT", "/news/Subscriptions/one", ENTRY.replace("Queue", "Subscription") % rule)
    assert 201 == response.status, response.body
    assert ["mine"] == [rule.name for rule in broker.entities.rules("news", "one")]
