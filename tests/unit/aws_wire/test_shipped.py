"""What stands between a client and its socket that isn't the SDK's own is seen: at the next call, or in a second."""

from __future__ import annotations

import functools
import http.client
import math
import socket
import ssl
import timeit
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any
from unittest import mock

import botocore.awsrequest
import botocore.client
import botocore.endpoint
import botocore.hooks
import botocore.httpsession
import pytest
import urllib3.connectionpool
import urllib3.util.connection
import wrapt
from botocore.config import Config
from botocore.handlers import disable_signing
from botocore.session import get_session
from botocore.stub import Stubber

from cloudq.aws_wire import shipped
from cloudq.aws_wire.shipped import Watch, _all_on_the_way

OPERATIONS = ("SendMessage", "ReceiveMessage")
NEVER = math.inf


def client_of_sqs() -> Any:
    session = get_session()
    session.set_credentials("x", "x")
    return session.create_client("sqs", region_name="eu-west-1", config=Config(parameter_validation=False))


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """One for all: each test leaves it as it was."""
    made = client_of_sqs()
    yield made
    made.close()


def wrapper(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    """What tracers put around a function by wrapt."""
    return wrapped(*args, **kwargs)


def nothing(**_: object) -> None:
    """A handler."""


def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def other(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return other


def test_a_client_as_it_is_made_goes_the_sdks_own_way(client: Any) -> None:
    """Nothing of Python's, botocore's and urllib3's own is taken for foreign, however often it is asked."""
    watch = Watch(client, OPERATIONS, every=0)
    assert [None] * 3 == [watch.foreign() for _ in range(3)]


# Where those replace something who keep calls from the network, and the tracers that are seen most.
AT_ONCE = [
    (botocore.client.BaseClient, "_make_api_call"),
    (botocore.endpoint.Endpoint, "make_request"),
    (botocore.endpoint.Endpoint, "_send"),
    (botocore.httpsession.URLLib3Session, "send"),
    (urllib3.connectionpool.HTTPConnectionPool, "urlopen"),
    (botocore.awsrequest.AWSHTTPConnectionPool, "ConnectionCls"),
    (botocore.awsrequest.AWSHTTPSConnectionPool, "ConnectionCls"),
    (socket, "socket"),
    (socket, "create_connection"),
    (socket, "getaddrinfo"),
    (socket.socket, "connect"),
    (ssl, "SSLContext"),
]
SOON = [
    *AT_ONCE,
    (botocore.client.BaseClient, "_make_request"),
    (botocore.client.BaseClient, "_emit_api_params"),
    (botocore.endpoint.Endpoint, "prepare_request"),
    (botocore.awsrequest.AWSRequest, "__init__"),
    (botocore.awsrequest.AWSHTTPConnection, "putheader"),
    (botocore.awsrequest.AWSHTTPConnection, "_tunnel"),
    (botocore.hooks.EventAliaser, "emit_until_response"),
    (botocore.hooks.HierarchicalEmitter, "_emit"),
    (botocore.parsers.ResponseParser, "parse"),
    (botocore.signers.RequestSigner, "sign"),
    (botocore.auth.SigV4Auth, "add_auth"),
    (urllib3.connectionpool.HTTPConnectionPool, "_make_request"),
    (urllib3.connectionpool.HTTPSConnectionPool, "_new_conn"),
    (urllib3.connection.HTTPConnection, "request"),
    (urllib3.connection.HTTPSConnection, "connect"),
    (urllib3.connection, "ssl_wrap_socket"),
    (urllib3.util.connection, "create_connection"),
    (http.client.HTTPConnection, "putrequest"),
    (http.client.HTTPConnection, "getresponse"),
    (http.client.HTTPResponse, "begin"),
    (socket.socket, "sendall"),
    (ssl.SSLSocket, "do_handshake"),
    (ssl.SSLContext, "wrap_socket"),
]
REPLACEMENTS = {
    "wrapt": lambda old: wrapt.FunctionWrapper(old, wrapper),
    "a mock": lambda _: mock.Mock(),
    "a function around it": wrapped,
    "a partial": lambda old: functools.partial(wrapped(old)),
}


def name_of(place: tuple[Any, str]) -> str:
    return f"{place[0].__name__}.{place[1]}"


def replaced(monkeypatch: pytest.MonkeyPatch, place: tuple[Any, str], how: Callable[[Any], Any]) -> Any:
    owner, name = place
    old = getattr(owner, name)
    new = type(old.__name__, (old,), {"__module__": __name__}) if isinstance(old, type) else how(old)
    monkeypatch.setattr(owner, name, new)
    return new


@pytest.mark.parametrize("how", REPLACEMENTS)
@pytest.mark.parametrize("place", AT_ONCE, ids=name_of)
def test_what_keeps_calls_from_the_network_is_seen_at_the_next_call(
    client: Any, monkeypatch: pytest.MonkeyPatch, place: Any, how: str
) -> None:
    """And when it is taken away again: no time has to pass."""
    watch = Watch(client, OPERATIONS, every=NEVER)
    assert watch.foreign() is None
    with monkeypatch.context() as patch:
        replaced(patch, place, REPLACEMENTS[how])
        found = watch.foreign()
        assert found is not None
        assert place[1] in found
        assert found == watch.foreign()
    assert watch.foreign() is None


@pytest.mark.parametrize("how", REPLACEMENTS)
@pytest.mark.parametrize("place", SOON, ids=name_of)
def test_whatever_is_replaced_is_seen_soon(client: Any, monkeypatch: pytest.MonkeyPatch, place: Any, how: str) -> None:
    """Each function that is called on the way, and each class."""
    watch = Watch(client, OPERATIONS, every=0)
    with monkeypatch.context() as patch:
        replaced(patch, place, REPLACEMENTS[how])
        assert watch.foreign() is not None
    assert watch.foreign() is None


@pytest.mark.parametrize("how", REPLACEMENTS)
@pytest.mark.parametrize("place", SOON, ids=name_of)
def test_what_was_replaced_before_is_seen_too(
    client: Any, monkeypatch: pytest.MonkeyPatch, place: Any, how: str
) -> None:
    """At opening: a tracer that is on from the program's start."""
    with monkeypatch.context() as patch:
        replaced(patch, place, REPLACEMENTS[how])
        watch = Watch(client, OPERATIONS, every=0)
        assert watch.foreign() is not None
    assert watch.foreign() is None


def test_what_says_that_it_is_a_builtin_is_foreign() -> None:
    """The types that wrapt before 2 has in C say that their module is `builtins` (seen in 1.17.3)."""
    kind = type("FunctionWrapper", (), {"__module__": "builtins", "__call__": lambda self: None})
    assert not shipped.is_shipped(kind())
    assert all(shipped.is_shipped(one) for one in (len, "".join, str.join, object.__init__, dict.fromkeys, [].__len__))


def test_what_is_taken_for_a_function_is_named_by_what_is_called(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrapper claims to be what it wraps, its module too."""
    replaced(monkeypatch, (botocore.client.BaseClient, "_make_api_call"), REPLACEMENTS["wrapt"])
    assert f"BaseClient._make_api_call is replaced by {__name__}" == Watch(client, OPERATIONS).foreign()


@pytest.mark.parametrize(
    "event",
    [
        *("before-send", "before-send.sqs", "before-call.sqs.SendMessage", "before-call.*.*", "needs-retry.sqs"),
        *("request-created", "before-sign.sqs.ReceiveMessage", "provide-client-params", "after-call-error"),
    ],
)
def test_a_handler_of_the_programs_own_is_seen_at_the_next_call(client: Any, event: str) -> None:
    """On whichever event that these calls emit; gone again, as soon as it is unregistered."""
    watch = Watch(client, OPERATIONS, every=NEVER)
    assert watch.foreign() is None
    client.meta.events.register(event, nothing)
    assert f"{__name__} has a handler for {event.partition('.')[0]}" == watch.foreign()
    client.meta.events.unregister(event, nothing)
    assert watch.foreign() is None


def test_handlers_of_other_calls_are_nobodys_business(client: Any) -> None:
    """What these calls don't emit changes nothing."""
    watch = Watch(client, OPERATIONS, every=NEVER)
    client.meta.events.register("before-call.sqs.ListQueues", nothing)
    client.meta.events.register("before-call.s3", nothing)
    assert watch.foreign() is None


def test_handlers_of_botocores_that_came_later_are_foreign(client: Any) -> None:
    """They change the calls as anybody's do: without a signature, or answered by a stub."""
    watch = Watch(client, OPERATIONS, every=NEVER)
    client.meta.events.register("choose-signer.sqs.*", disable_signing)
    assert "botocore.handlers has a handler for choose-signer" == watch.foreign()
    client.meta.events.unregister("choose-signer.sqs.*", disable_signing)
    assert watch.foreign() is None
    with Stubber(client):
        assert "botocore.stub has a handler for before-parameter-build" == watch.foreign()
        assert "botocore.stub has a handler for before-parameter-build" == Watch(client, OPERATIONS).foreign()
    assert watch.foreign() is None


def test_a_handler_of_the_sdks_that_is_taken_away_is_missed(client: Any) -> None:
    """A program that does so wants other calls than the SDK's own."""
    watch = Watch(client, OPERATIONS, every=NEVER)
    handler = botocore.handlers.add_retry_headers
    try:
        client.meta.events.unregister("request-created", handler)
        assert "a handler of the SDK's for request-created was taken away" == watch.foreign()
    finally:
        client.meta.events.register_last("request-created", handler)
    assert watch.foreign() is None


def test_moto_is_seen_though_each_new_client_has_its_handler(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It adds itself to botocore's own list of handlers, so there is nothing to compare a client with."""
    monkeypatch.setattr(botocore.handlers, "BUILTIN_HANDLERS", [*botocore.handlers.BUILTIN_HANDLERS])
    from moto import mock_aws

    with mock_aws():
        mocked = client_of_sqs()
        watch = Watch(mocked, OPERATIONS)
        assert "moto.core.botocore_stubber has a handler for before-send" == watch.foreign()
        mocked.close()
    assert "moto.core.botocore_stubber has a handler for before-send" == watch.foreign()
    assert "moto.core.botocore_stubber has a handler for before-send" == Watch(client_of_sqs(), OPERATIONS).foreign()


@pytest.mark.parametrize("method", ["send_message", "_make_api_call", "close"])
def test_a_method_that_the_client_alone_has_is_seen_at_the_next_call(client: Any, method: str) -> None:
    """As `mock.patch.object(client, ...)` leaves one."""
    watch = Watch(client, OPERATIONS, every=NEVER)
    with mock.patch.object(client, method):
        assert f"SQS.{method} is replaced by unittest.mock" == watch.foreign()
    assert watch.foreign() is None


def test_methods_of_parts_and_of_the_clients_class(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Classes of clients are made at run time, so a tracer wraps each; others put functions into the parts."""
    watch = Watch(client, OPERATIONS, every=0)
    with monkeypatch.context() as patch:
        replaced(patch, (type(client), "send_message"), REPLACEMENTS["wrapt"])
        assert f"SQS.send_message is replaced by {__name__}" == watch.foreign()
    for part in ("_endpoint", "_request_signer", "_serializer", "_response_parser"):
        name = next(name for name in dir(getattr(client, part)) if not name.startswith("__"))
        with mock.patch.object(getattr(client, part), name):
            assert watch.foreign() is not None
        assert watch.foreign() is None


def test_an_sdk_that_is_built_in_another_way_is_not_passed_by(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it isn't known what would be called, the SDK calls; also where something was taken away meanwhile."""
    earlier = Watch(client, OPERATIONS, every=NEVER)
    monkeypatch.delattr(botocore.client.BaseClient, "_make_api_call")
    for watch in (earlier, Watch(client, OPERATIONS)):
        found = watch.foreign()
        assert found is not None
        assert found.startswith("the SDK is built in another way")
    monkeypatch.undo()
    assert earlier.foreign() is None


def test_a_look_that_ends_late_hides_nothing(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two threads one began to look before a tracer was turned on, and ends after the other has seen it."""
    watch = Watch(client, OPERATIONS, every=NEVER)
    look, began, over = shipped._strangers, Event(), Event()

    def held(*arguments: Any) -> Iterator[str]:
        found = list(look(*arguments))
        began.set()
        assert over.wait(30)
        return iter(found)

    with ThreadPoolExecutor(1) as threads:
        with monkeypatch.context() as patch:
            patch.setattr(shipped, "_strangers", held)
            client.meta.events.register("before-call.sqs.ListQueues", nothing)  # so that there is something to look at
            late = threads.submit(watch.foreign)
            assert began.wait(30)
        replaced(monkeypatch, (botocore.client.BaseClient, "_make_api_call"), REPLACEMENTS["wrapt"])
        assert watch.foreign() is not None
        over.set()
        assert late.result() is None
        assert watch.foreign() is not None


def test_while_nothing_changes_nothing_is_looked_at(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also under a tracer: the answer is kept until something is another one's, or the time is over."""
    replaced(monkeypatch, (botocore.client.BaseClient, "_make_api_call"), REPLACEMENTS["wrapt"])
    watch = Watch(client, OPERATIONS, every=NEVER)
    looks: list[Any] = []
    monkeypatch.setattr("cloudq.aws_wire.shipped._all_on_the_way", looks.append)
    assert [watch.foreign()] * 5 == [watch.foreign() for _ in range(5)]
    assert [] == looks


def test_it_is_nearly_for_nothing(client: Any) -> None:
    """Asking costs less than a hundredth of looking at all that it answers for; in the head of the file is how much."""
    watch = Watch(client, OPERATIONS, every=NEVER)
    asked = min(timeit.repeat(watch.foreign, number=100, repeat=200)) / 100
    looked = min(timeit.repeat(lambda: _all_on_the_way(client), number=1, repeat=200))
    assert asked < looked / 5
