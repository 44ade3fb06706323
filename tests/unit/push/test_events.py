"""CloudEvents over HTTP and Pub/Sub pushes run tasks, are retried by copies in the app's backend, and lose nothing."""

from __future__ import annotations

import base64
import json
from datetime import timedelta

import pytest

import cloudq
from cloudq import App, Context
from cloudq.core.message import dead_letter_queue
from cloudq.core.push import PushRequest, PushResponse
from cloudq.drivers.memory import MemoryDriver
from cloudq.push import PushEdge, PushSettings, handle
from cloudq.push.events import PUBLISHED, event_of, own_attributes
from cloudq.testing import run_all
from cloudq.testing.clock import FakeClock
from cloudq.testing.profiles import service_bus_like, sqs_like
from tests.unit.push.fakes import OPEN, edge_of

SUBSCRIPTION = "projects/project-1/subscriptions/shop"
PROFILES = {"native dead letters": None, "Service Bus": service_bus_like, "SQS": sqs_like}


class Shop:
    """An app whose task `pay` runs, retries, or gives up, by its argument."""

    def __init__(self, capabilities=None, **more) -> None:
        self.clock = FakeClock()
        self.driver = MemoryDriver(clock=self.clock, capabilities=capabilities, **more)
        self.app = App("memory://", default_queue="inbox")
        self.ran: list[tuple[object, ...]] = []

        @self.app.task("pay", queue="money")
        def pay(context: Context, order: int, how: str = "well") -> None:
            self.ran.append((order, context.id, context.queue, context.attempt))
            if how == "again":
                raise cloudq.Retry(reason="later", delay=timedelta(minutes=2))
            if how == "never":
                raise cloudq.DeadLetter("no such order")


@pytest.fixture
def shop():
    made = Shop()
    with made.app.using(made.driver, clock=made.clock), edge_of(made.app) as edge:
        made.edge = edge
        yield made


def binary(edge: PushEdge, body: bytes = b'{"order": 7}', **attributes: str) -> PushResponse:
    made = {"specversion": "1.0", "id": "e1", "source": "/orders", "type": "pay", **attributes}
    headers = {f"ce-{name}": text for name, text in made.items() if text}
    return handle(edge, {**headers, "Content-Type": "application/json"}, body)


def structured(edge: PushEdge, **changed: object) -> PushResponse:
    event = {"specversion": "1.0", "id": "e1", "source": "/orders", "type": "pay", "data": {"order": 7}, **changed}
    headers = {"content-type": "application/cloudevents+json; charset=UTF-8"}
    return handle(edge, headers, json.dumps({k: v for k, v in event.items() if v is not None}).encode())


def published(edge: PushEdge, data: object, attributes: dict[str, str] | None = None, **more: object) -> PushResponse:
    text = data if isinstance(data, bytes) else json.dumps(data).encode()
    message = {
        "data": base64.b64encode(text).decode(),
        "messageId": "136969346945",
        "message_id": "136969346945",
        "publishTime": "2026-01-26T19:13:55.749Z",
        "attributes": attributes or {},
    }
    body = {"message": message, "subscription": SUBSCRIPTION, **more}
    return handle(edge, {"content-type": "application/json"}, json.dumps(body).encode())


def test_binary_mode(shop):
    """Attributes are headers, percent-encoded; the body is the data; the type is the task's name."""
    assert 200 == binary(shop.edge, id="caf%C3%A9").status
    assert [(7, "café", "money", 1)] == shop.ran


def test_structured_mode(shop):
    """The body is the event. The task's own queue is where it belongs, whatever the event says."""
    assert 200 == structured(shop.edge, queue="elsewhere").status
    assert [(7, "e1", "money", 1)] == shop.ran


def test_headers_reach_the_task(shop):
    """Extension attributes that cloudq knows are read from events, too."""
    seen = []

    @shop.app.task("look")
    def look(context: Context) -> None:
        seen.append((context.message.idempotency_key, dict(context.headers), context.message.sent_at))

    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert (
        200
        == binary(
            shop.edge, b"", type="look", idempotencykey="k", traceparent=trace, time="2026-01-01T00:00:00Z"
        ).status
    )
    assert [("k", {"traceparent": trace}, cloudq.testing.FakeClock().now())] == seen


def test_the_content_s_type_decides(shop):
    """A structured event may have the headers of a binary one as well: those aren't what the task gets."""
    seen: list[dict[str, object]] = []

    @shop.app.task("any")
    def anything(**rest: object) -> None:
        seen.append(rest)

    event = {"specversion": "1.0", "id": "e1", "source": "/orders", "type": "any", "data": {"order": 7}}
    headers = {f"ce-{name}": str(text) for name, text in event.items() if name != "data"}
    headers["Content-Type"] = "application/cloudevents+json; charset=utf-8"
    assert 200 == handle(shop.edge, headers, json.dumps(event).encode()).status
    assert [{"order": 7}] == seen
    attributes = {**headers, "content-type": headers["Content-Type"]}
    assert 200 == published(shop.edge, event, attributes).status
    assert [{"order": 7}] * 2 == seen


@pytest.mark.parametrize(
    "kind", ["application/cloudevents+xml", "application/cloudevents-batch+json", "application/cloudevents"]
)
def test_formats_that_are_not_read(shop, kind):
    """Nor is such an event taken for one in binary mode."""
    headers = {"content-type": kind, "ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "pay"}
    assert 415 == handle(shop.edge, headers, b'{"order": 7}').status
    assert [] == shop.ran


def test_quotes_and_escapes_in_headers(shop):
    """A value in quotes is what is within, with its own escapes; then percent-encoding is undone, once."""
    assert 200 == binary(shop.edge, type='"pay"', id='"a \\"b\\\\ %22caf%C3%A9%2522"').status
    assert [(7, 'a "b\\ "café%22', "money", 1)] == shop.ran
    for text in ("%C0%A0", "%FF", '"%E9"'):
        assert 400 == binary(shop.edge, id=text).status
    assert (1, []) == (len(shop.ran), shop.driver.sent)


FOREIGN = {
    "generation": "1587627537231057",
    "attemptbase": "3",
    "headers": "gzip",
    "timelimit": "soon",
    "notbefore": "tomorrow",
    "expirytime": "tomorrow",
}


@pytest.mark.parametrize("mode", [binary, structured])
@pytest.mark.parametrize(("name", "value"), FOREIGN.items())
def test_attributes_of_others_that_are_named_as_ours(shop, mode, name, value):
    """They spoil nothing, count nothing, and reach the task under a name of their own, also from a copy."""
    seen = []

    @shop.app.task("look")
    def look(context: Context, **_: object) -> None:
        seen.append((context.attempt, context.message.extensions.get(f"foreign{name}")))
        if len(seen) == 1:
            raise cloudq.Retry

    assert 200 == mode(shop.edge, type="look", **{name: value}).status
    shop.clock.advance(timedelta(hours=1))
    run_all(shop.app)
    assert [(1, value), (2, value)] == seen


def test_attributes_that_others_may_set(shop):
    """Those stay what they are, where they can be read so; what has a wire version was written for cloudq."""
    ours = {"idempotencykey": "k", "timelimit": 60, "orderingkey": "o", "headers": '{"a": "b"}'}
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", **ours}
    body = json.dumps(event).encode()
    assert body is own_attributes(body)
    for written in (b'{"generation": 1}', b'{"\\u0067eneration": 1}'):
        assert {"foreigngeneration": 1} == json.loads(own_attributes(written))
    for no_event in (b'["generation"]', b'{"data": {"generation": 1}}'):
        assert json.loads(no_event) == json.loads(own_attributes(no_event))
    versioned = json.dumps({**event, "wireversion": 1, "generation": 2**40}).encode()
    assert versioned is own_attributes(versioned)
    twice = b'{"generation": 1, "data": {"n": 1, "\\u006e": 2}}'
    assert twice is own_attributes(twice), "it isn't made into an event that has each name once"
    for senseless in (b'{"generation": ', b'"generation"', b"[" * 100_000 + b'"generation"'):
        assert senseless is own_attributes(senseless)


def unwrapped(edge: PushEdge, data: object, **headers: str) -> PushResponse:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    metadata = {"x-goog-pubsub-message-id": "1369", "x-goog-pubsub-subscription-name": SUBSCRIPTION}
    return handle(edge, {"content-type": "application/json", **metadata, **named}, json.dumps(data).encode())


def test_unwrapped_pub_sub(shop):
    """A subscription may leave the wrapper out: the data are the body, and the attributes headers."""
    event = {"specversion": "1.0", "id": "e1", "source": "/orders", "type": "pay", "data": {"order": 7}}
    beside = {"ce_specversion": "1.0", "ce_id": "e2", "ce_source": "/", "ce_type": "pay"}
    assert 200 == unwrapped(shop.edge, {"order": 6}, cloudq_task="pay").status
    assert 200 == unwrapped(shop.edge, event).status
    assert 200 == handle(shop.edge, {}, json.dumps(event).encode()).status
    assert 200 == unwrapped(shop.edge, {"order": 8}, **beside).status
    assert [(6, "1369"), (7, "e1"), (7, "e1"), (8, "e2")] == [one[:2] for one in shop.ran]
    nameless = {"cloudq-task": "pay", "content-type": "application/json"}
    assert 400 == handle(shop.edge, nameless, b'{"order": 6}').status


def test_an_unwrapped_message_is_known_by_pub_sub_s_name():
    """By it a redelivery is known, as that of a wrapped one is."""
    body = json.dumps({"specversion": "1.0", "id": "e1", "source": "/s", "type": "pay"}).encode()
    headers = {"x-goog-pubsub-message-id": "7", "x-goog-pubsub-subscription-name": SUBSCRIPTION}
    at = {"received_at": FakeClock().now(), "received": timedelta(0)}
    for more in ({}, {"cloudq-task": "pay"}):
        event = event_of(PushRequest(headers={**headers, **more}, body=body, **at), {"pay"})
        assert f"{SUBSCRIPTION} 7" == event.copy
    assert event_of(PushRequest(headers={}, body=body, **at), {"pay"}).copy is None


def test_eventarc_in_structured_mode(shop):
    """Its event about a Pub/Sub message is unwrapped in either mode, unless there is a task of that name."""
    inner = {"specversion": "1.0", "id": "e1", "source": "/orders", "type": "pay", "data": {"order": 7}}
    message = {"data": base64.b64encode(json.dumps(inner).encode()).decode(), "messageId": "13"}
    data = {"message": message, "subscription": SUBSCRIPTION}
    assert 200 == structured(shop.edge, type=PUBLISHED, id="13", data=data).status
    assert [(7, "e1", "money", 1)] == shop.ran
    seen = []

    @shop.app.task(PUBLISHED)
    def whole(**data: object) -> None:
        seen.append(data)

    assert 200 == structured(shop.edge, type=PUBLISHED, id="13", data=data).status
    assert [data] == seen


def test_a_batch_is_refused(shop):
    """Several events can't be answered one by one: 415, nothing run."""
    assert 415 == handle(shop.edge, {"content-type": "application/cloudevents-batch+json"}, b"[]").status
    assert [] == shop.ran


def test_pub_sub_with_an_event_in_its_data(shop):
    """Structured, whether or not the attributes say so."""
    event = {"specversion": "1.0", "id": "e9", "source": "/orders", "type": "pay", "data": {"order": 1}}
    assert 200 == published(shop.edge, event).status
    assert 200 == published(shop.edge, event, {"content-type": "application/cloudevents+json"}).status
    assert [(1, "e9", "money", 1)] * 2 == shop.ran


def test_pub_sub_with_an_event_beside_its_data(shop):
    """Binary: attributes that begin with ce-."""
    attributes = {"ce-specversion": "1.0", "ce-id": "e5", "ce-source": "/orders", "ce-type": "pay"}
    assert 200 == published(shop.edge, {"order": 2}, {**attributes, "Content-Type": "application/json"}).status
    assert [(2, "e5", "money", 1)] == shop.ran


def test_pub_sub_that_names_a_task(shop):
    """The attribute `cloudq-task` names it; the data are its arguments; Pub/Sub's id is the message's."""
    assert 200 == published(shop.edge, {"order": 3}, {"cloudq-task": "pay"}).status
    assert [(3, "136969346945", "money", 1)] == shop.ran


def test_pub_sub_counts_deliveries(shop):
    """`deliveryAttempt` is how often it was handed over."""
    seen = []

    @shop.app.task("look")
    def look(context: Context) -> None:
        seen.append((context.attempt, context.deliveries))

    assert 200 == published(shop.edge, b"", {"cloudq-task": "look"}, deliveryAttempt=5).status
    assert [(1, 5)] == seen


def test_eventarc_wraps_pub_sub(shop):
    """Eventarc's event of a published message is unwrapped, unless a task is declared for that event itself."""
    message = {
        "data": base64.b64encode(b'{"order": 4}').decode(),
        "messageId": "1",
        "attributes": {"cloudq-task": "pay"},
    }
    body = json.dumps({"message": message, "subscription": SUBSCRIPTION}).encode()
    kind = "google.cloud.pubsub.topic.v1.messagePublished"
    assert 200 == binary(shop.edge, body, type=kind).status
    assert [(4, "1", "money", 1)] == shop.ran
    seen = []

    @shop.app.task(kind)
    def whole(message: dict, subscription: str) -> None:
        seen.append((message["messageId"], subscription))

    assert 200 == binary(shop.edge, body, type=kind).status
    assert [("1", SUBSCRIPTION)] == seen


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_a_retry_is_a_message_of_the_backend(profile):
    """It is stored with its delay, then the event is answered with 200; a worker runs it. A redelivery of the event
    that fails again stores no second copy, where the backend remembers.
    """
    shop = Shop(profile)
    with shop.app.using(shop.driver, clock=shop.clock), edge_of(shop.app) as edge:
        assert 200 == structured(edge, data={"order": 7, "how": "again"}).status
        assert 1 == shop.driver.stats("money").delayed
        assert 200 == structured(edge, data={"order": 7, "how": "again"}).status
        remembered = shop.driver.capabilities("money").deduplication is not None
        assert (1 if remembered else 2) == shop.driver.stats("money").delayed
        run_all(shop.app)
    assert [1, 1, 2] == [attempt for *_, attempt in shop.ran][:3]


POISON = {
    "an unknown task": (lambda edge: structured(edge, type="nobody"), "inbox", "unknown task"),
    "no event": (lambda edge: structured(edge, specversion="0.3"), "inbox", "specversion"),
    "a payload that doesn't fit": (lambda edge: structured(edge, data={"order": "x"}), "money", "payload"),
    "one that gives up": (lambda edge: structured(edge, data={"order": 1, "how": "never"}), "money", "no such order"),
    "data that aren't JSON": (lambda edge: binary(edge, b"\xff{"), "inbox", "JSON"),
    "a Pub/Sub message of something else": (lambda edge: published(edge, b"hello"), "inbox", "JSON"),
}


@pytest.mark.parametrize(("send", "queue", "reason"), POISON.values(), ids=POISON)
def test_poison_is_a_dead_letter(send, queue, reason):
    """Where dead letters are copies, it is one at once, with the reason; the event is answered with 200."""
    shop = Shop(sqs_like)
    shop.app.configure(unknown_task_patience=timedelta(0))
    with shop.app.using(shop.driver, clock=shop.clock), edge_of(shop.app) as edge:
        assert 200 == send(edge).status
        (dead,) = shop.app.queue(queue).dead_letters.peek()
    assert reason in dead.failure.reason


@pytest.mark.parametrize(("send", "queue", "reason"), POISON.values(), ids=POISON)
def test_poison_where_only_a_worker_can_bury_it(shop, send, queue, reason):
    """Where a backend's own dead-letter queue is the place, the event is stored in its queue; a worker buries it."""
    assert 200 == send(shop.edge).status
    assert [] == list(shop.app.queue(queue).dead_letters.peek())
    run_all(shop.app)
    (dead,) = shop.app.queue(queue).dead_letters.peek()
    assert reason in dead.failure.reason


def test_what_can_not_be_stored_is_sent_again(monkeypatch):
    """While the backend stores nothing, the event is answered with 503, and so isn't lost."""
    shop = Shop(queues=["other"])
    with shop.app.using(shop.driver, clock=shop.clock), edge_of(shop.app) as edge:
        assert 503 == structured(edge, data={"order": 1, "how": "again"}).status
        assert 503 == structured(edge, data={"order": 1, "how": "never"}).status
        assert 503 == structured(edge, type="nobody").status


def test_an_event_that_is_early(shop):
    """Its time is kept by the backend: a copy until then, not a wait here."""
    later = (shop.clock.now() + timedelta(hours=1)).isoformat()
    assert 200 == structured(shop.edge, notbefore=later).status
    assert ([], 1) == (shop.ran, shop.driver.stats("money").delayed)
    run_all(shop.app)
    assert [(7, "e1", "money", 1)] == shop.ran


def test_an_ordered_queue_wants_a_key(shop):
    """An event for a task on an ordered queue needs an ordering key, so that its retry has a place."""
    ran = []
    app = shop.app

    @app.task("ship", queue="ships.fifo")
    def ship() -> None:
        ran.append(1)
        raise ValueError("no")

    assert 400 == structured(shop.edge, type="ship", data={}).status
    assert 200 == structured(shop.edge, type="ship", data={}, orderingkey="o1").status
    assert (1, 1) == (len(ran), len(shop.driver.sent))


def test_queues_that_are_not_served(shop):
    """`queues` holds for events, too."""
    with edge_of(shop.app, PushSettings(insecure_no_auth=True, queues=["money"])) as edge:
        assert 503 == structured(edge, type="nobody").status
        assert 200 == structured(edge).status


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"message": 1}', b'{"message": {}}', b"\xff", b"null"])
@pytest.mark.parametrize("content_type", ["application/json", "application/octet-stream", ""])
def test_what_is_neither(shop, body, content_type):
    """A request that is no push, no event and no Pub/Sub message is 400; nothing of it is kept."""
    assert 400 == handle(shop.edge, {"content-type": content_type}, body).status
    assert [] == shop.driver.sent


def test_pushes_of_cloud_tasks_need_its_backend(shop):
    """To an app on another backend they are 400, even if their body is an event."""
    headers = {"content-type": "application/cloudevents+json", "x-cloudtasks-queuename": "q"}
    assert 400 == handle(shop.edge, headers, b"{}").status


def test_events_are_taken_beside_pushes(backend):
    """On a backend that pushes, too: retries and dead letters are copies there."""
    app, driver = backend

    @app.task("pay", queue="money")
    def pay(order: int) -> None:
        raise cloudq.DeadLetter("no")

    with edge_of(app, OPEN) as edge:
        assert 200 == structured(edge).status
    assert [dead_letter_queue("money")] == [item.queue for item in driver.sent]
