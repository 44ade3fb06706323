"""The connections that requests are sent on: real sockets, TLS, proxies, and errors as botocore raises them."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import exceptions as sdk
from botocore.config import Config

from cloudq.aws_wire.bounded import Within
from cloudq.aws_wire.clients import prepare
from cloudq.aws_wire.http_bodies import BrokenAnswer
from cloudq.aws_wire.line import Line
from cloudq.aws_wire.service import Unusual
from tests.chaos.http_proxy import Request
from tests.chaos.raw_answers import RawServer, answer, read_request
from tests.unit.aws_wire.clients import QUEUE, REGION, both
from tests.unit.aws_wire.tls import ConnectProxy, OneByOne, TlsServer, certify

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
KEPT = answer(b"{}", kind="application/x-amz-json-1.0", x_amzn_RequestId="7")
MOST = 1000


def line_to(url: str, **settings: Any) -> tuple[Any, Line]:
    """A client of an endpoint, and a line to it."""
    if not settings:
        client, _ = both(url)
    else:
        config = Config(retries={"total_max_attempts": 1}, **settings)
        client = prepare(boto3.client("sqs", REGION, endpoint_url=url, config=config))
    return client, Line(client, f"{client.meta.endpoint_url}/", MOST)


def request(line: Line, body: bytes = b"{}") -> bytes:
    return f"{line.opening}Host: h\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certify(tmp_path_factory.mktemp("tls") / "server.pem")


def test_a_connection_is_used_again() -> None:
    """As long as its answers end where they say."""
    served: list[int] = []

    def turn(connection: socket.socket) -> None:
        for _ in range(3):
            read_request(connection)
            served.append(connection.getpeername()[1])
            connection.sendall(ANSWER)

    with OneByOne(turn) as server:
        client, line = line_to(server.url)
        for _ in range(3):
            assert b"{}" == bytes(line.exchange(request(line)).body)
        client.close()
    assert 3 == len(served)
    assert 1 == len(set(served))


@pytest.mark.parametrize(
    "answer",
    [
        ANSWER + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_a_connection_that_is_not_used_again(answer: bytes) -> None:
    """One that has something behind its answer, and one that is about to close: the next call opens another."""
    over = threading.Event()

    def first(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(answer)
        over.wait(60)  # it isn't the server that ends it

    def second(connection: socket.socket) -> None:
        over.set()
        read_request(connection)
        connection.sendall(ANSWER.replace(b"{}", b"[]"))

    with OneByOne(first, second) as server:
        client, line = line_to(server.url)
        assert b"{}" == bytes(line.exchange(request(line)).body)
        threading.Timer(0.5, over.set).start()
        assert b"[]" == bytes(line.exchange(request(line)).body)
        client.close()


def test_a_connection_whose_answer_was_refused_is_not_used_again() -> None:
    """What comes next on it may belong to anything."""
    over = threading.Event()

    def first(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n")
        over.wait(60)

    def second(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(ANSWER)

    with OneByOne(first, second) as server:
        client, line = line_to(server.url)
        with pytest.raises(BrokenAnswer):
            line.exchange(request(line))
        threading.Timer(0.2, over.set).start()
        assert b"{}" == bytes(line.exchange(request(line)).body)
        client.close()


@pytest.mark.parametrize("late", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"])
def test_a_connection_that_was_dropped_while_idle(late: bytes) -> None:
    """It was closed, or something came that nobody had asked for: noticed before its next use."""
    ended = threading.Event()

    def first(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(ANSWER)
        connection.sendall(late)
        connection.shutdown(socket.SHUT_WR)
        ended.set()
        connection.recv(1)

    def second(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(ANSWER.replace(b"{}", b"[]"))

    with OneByOne(first, second) as server:
        client, line = line_to(server.url)
        line.exchange(request(line))
        assert ended.wait(60)
        assert b"[]" == bytes(line.exchange(request(line)).body)
        client.close()


def test_a_cut_is_never_tried_again() -> None:
    """What was sent may have been carried out: who called is told, and nobody sends it a second time."""
    requests: list[Request | None] = []

    def turn(connection: socket.socket) -> None:
        requests.append(read_request(connection))
        connection.sendall(ANSWER[:-1])

    with OneByOne(turn, turn) as server:
        client, line = line_to(server.url)
        with pytest.raises(BrokenAnswer, match="cut 1 bytes before its end"):
            line.exchange(request(line))
        client.close()
    assert 1 == len(requests)


def test_an_answer_that_comes_before_all_is_sent() -> None:
    """A server that refuses a large body, and closes: its answer says why."""

    def turn(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass

    with OneByOne(turn) as server:
        client, line = line_to(server.url)
        assert 413 == line.exchange(request(line, b"x" * 5_000_000)).status
        client.close()


def test_a_closed_line_makes_calls_still() -> None:
    """As a closed client of botocore: what a receive under way brought is given back after the driver was closed."""
    ends: list[bytes] = []

    def turn(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(ANSWER)
        ends.append(connection.recv(1))

    with OneByOne(turn, turn) as server:
        client, line = line_to(server.url)
        for _ in range(2):
            assert b"{}" == bytes(line.exchange(request(line)).body)
            client.close()
            line.close()
    assert [b"", b""] == ends  # idle connections were closed


def test_a_line_that_is_closed_by_itself() -> None:
    """Later calls, its own and the client's, open other connections: also those that are made while it closes."""
    with RawServer(lambda _: KEPT) as server:
        client, line = line_to(server.url)
        line.exchange(request(line))
        line.close()
        assert b"{}" == bytes(line.exchange(request(line)).body)
        line.close()
        assert client.receive_message(QueueUrl=server.url)["ResponseMetadata"]
        client.close()


def test_a_call_without_a_deadline_has_the_clients_timeouts() -> None:
    """Also on a connection whose last call had a shorter one."""
    with RawServer(lambda _: ANSWER) as server:
        client, line = line_to(server.url)
        with Within(timedelta(seconds=20)):
            line.exchange(request(line))
        line.exchange(request(line))
        (kept,) = (one for one in line._pool.pool._kept if one is not None)
        assert client.meta.config.read_timeout == kept.sock.gettimeout()
        client.close()


def test_a_large_answer_is_refused_before_it_is_read() -> None:
    """By its length; it is never held."""
    over = threading.Event()

    def respond(_: Request) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n"
        over.wait(60)

    with RawServer(respond) as server:
        client, line = line_to(server.url)
        with pytest.raises(BrokenAnswer, match="1001 bytes"), Within(timedelta(seconds=30)):
            line.exchange(request(line))
        over.set()
        client.close()


def refused(_: pytest.MonkeyPatch) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    yield url


def unknown(patch: pytest.MonkeyPatch) -> Iterator[str]:
    resolve = socket.getaddrinfo

    def lookup(host: Any, *arguments: Any, **options: Any) -> Any:
        if host == "unknown.test":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(host, *arguments, **options)

    patch.setattr(socket, "getaddrinfo", lookup)
    yield "http://unknown.test"


def silent(_: pytest.MonkeyPatch) -> Iterator[str]:
    over = threading.Event()

    def respond(_: Request) -> Iterator[bytes]:
        over.wait(60)
        yield b""

    with RawServer(respond) as server:
        yield server.url
        over.set()


def full(_: pytest.MonkeyPatch) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as stack:
        for _number in range(4):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def plain_behind_https(_: pytest.MonkeyPatch) -> Iterator[str]:
    with OneByOne(*[lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")] * 2) as server:
        yield server.url.replace("http:", "https:")


def no_proxy_there(patch: pytest.MonkeyPatch) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://user:secret@127.0.0.1:{server.getsockname()[1]}"
    patch.setenv("HTTPS_PROXY", url)
    yield "https://sqs.test"


def a_proxy_that_refuses(patch: pytest.MonkeyPatch) -> Iterator[str]:
    with ConnectProxy("407 Proxy Authentication Required") as proxy:
        patch.setenv("HTTPS_PROXY", proxy.url)
        yield "https://sqs.test"


def a_proxy_of_another_kind(patch: pytest.MonkeyPatch) -> Iterator[str]:
    with ConnectProxy("none of HTTP's") as proxy:
        patch.setenv("HTTPS_PROXY", proxy.url)
        yield "https://sqs.test"


def reset(_: pytest.MonkeyPatch) -> Iterator[str]:
    def turn(connection: socket.socket) -> None:
        read_request(connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with OneByOne(turn, turn) as server:
        yield server.url


FAULTS: dict[Callable[[pytest.MonkeyPatch], Iterator[str]], type[Exception]] = {
    refused: sdk.EndpointConnectionError,
    unknown: sdk.EndpointConnectionError,
    silent: sdk.ReadTimeoutError,
    full: sdk.ConnectTimeoutError,
    plain_behind_https: sdk.SSLError,
    no_proxy_there: sdk.ProxyConnectionError,
    a_proxy_that_refuses: sdk.ProxyConnectionError,
    a_proxy_of_another_kind: sdk.ConnectionClosedError,
    reset: sdk.ConnectionClosedError,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_goes_wrong_is_raised_as_botocore_raises_it(monkeypatch: pytest.MonkeyPatch, fault: Any) -> None:
    """The same class, with its cause in it, and no secret; in time, too."""
    # Those two are only noticed by the time that they take; the others come whenever a busy machine gets to them.
    patience = timedelta(seconds=0.5 if fault in {silent, full} else 30)
    with contextlib.contextmanager(fault)(monkeypatch) as url:
        client, line = line_to(url)
        began = time.monotonic()
        for call in (lambda: client.get_queue_url(QueueName="q"), lambda: line.exchange(request(line))):
            with Within(patience), pytest.raises(FAULTS[fault]) as caught:
                call()
            assert FAULTS[fault] is type(caught.value)
            assert isinstance(caught.value.kwargs["error"], Exception)
            assert "secret" not in str(caught.value)
        assert time.monotonic() - began < 60
        client.close()


def test_tls_with_a_bundle_of_ones_own(monkeypatch: pytest.MonkeyPatch, certificate: Path) -> None:
    """`AWS_CA_BUNDLE` says whom to trust; without it nobody has heard of that server."""
    with TlsServer(lambda _: ANSWER, certificate) as server:
        client, line = line_to(server.url)
        with pytest.raises(sdk.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
            line.exchange(request(line))
        client.close()
        monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
        client, line = line_to(server.url)
        for _ in range(2):
            assert b"{}" == bytes(line.exchange(request(line)).body)
        client.close()


def test_a_client_certificate(monkeypatch: pytest.MonkeyPatch, certificate: Path, tmp_path: Path) -> None:
    """It is shown where a server asks for one; without it there is no answer."""
    own = certify(tmp_path / "client.pem", "client")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    with TlsServer(lambda _: ANSWER, certificate, clients=own) as server:
        client, line = line_to(server.url, client_cert=str(own))
        assert b"{}" == bytes(line.exchange(request(line)).body)
        client.close()
        client, line = line_to(server.url)
        with pytest.raises((sdk.SSLError, sdk.ConnectionClosedError, BrokenAnswer)):
            line.exchange(request(line))
        client.close()


def test_a_tunnel_through_a_proxy(monkeypatch: pytest.MonkeyPatch, certificate: Path) -> None:
    """`CONNECT` with the proxy's own credentials; what goes through it is encrypted for the endpoint."""
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    with TlsServer(lambda _: ANSWER, certificate) as server, ConnectProxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        client, line = line_to(server.url)
        for _ in range(2):
            assert b"{}" == bytes(line.exchange(request(line)).body)
        client.close()
    (head,) = proxy.requests
    assert head.startswith(f"CONNECT localhost:{server.port} HTTP/1".encode())
    assert b"proxy-authorization: basic dxnlcjpwyxnzqhdvcmq=" in head.lower()
    assert b"Proxy-Authorization" not in request(line)


def test_a_proxy_behind_tls_keeps_to_deadlines(monkeypatch: pytest.MonkeyPatch, certificate: Path) -> None:
    """Each call has its own, on a connection that others used: a poll isn't cut by that of a send before it."""
    pauses: list[float] = [0, 1, 60]
    over = threading.Event()

    def respond(_: Request) -> bytes:
        over.wait(pauses.pop(0))
        return ANSWER

    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    with TlsServer(respond, certificate) as server, ConnectProxy(certificate=certificate) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        client, line = line_to(server.url)
        with Within(timedelta(seconds=30)):
            line.exchange(request(line))
        (kept,) = (one for one in line._pool.pool._kept if one is not None)
        kept.sock.settimeout(0.5)  # as after a call that had so long
        with Within(timedelta(seconds=30)):
            assert b"{}" == bytes(line.exchange(request(line)).body)
        began = time.monotonic()
        with Within(timedelta(seconds=0.5)), pytest.raises(sdk.ReadTimeoutError):
            line.exchange(request(line))
        assert time.monotonic() - began < 30
        over.set()
        client.close()
    assert 1 == len(proxy.requests)


def test_a_proxy_that_forwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without TLS the proxy is sent the whole URL, and its credentials beside it."""
    seen: list[Request] = []
    with RawServer(lambda one: seen.append(one) or ANSWER) as proxy:  # type: ignore[func-returns-value]
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("//", "//user:secret@"))
        client, line = line_to("http://sqs.test:4566")
        line.exchange(request(line))
        with contextlib.suppress(Exception):
            client.get_queue_url(QueueName="q")
        client.close()
    ours, theirs = seen
    assert b"POST http://sqs.test:4566/ HTTP/1.1" == ours.head.split(b"\r\n")[0]
    assert theirs.head.split(b"\r\n")[0] == ours.head.split(b"\r\n")[0]
    assert b"Basic dXNlcjpzZWNyZXQ=" == ours.header(b"proxy-authorization") == theirs.header(b"proxy-authorization")


@pytest.mark.parametrize("proxy", [False, True])
@pytest.mark.parametrize("path", ["", "/", "/p%c3%bc", "/p\u00fc", "/a/../b", "/a//b", "/p?x=\u00fc"])
def test_an_endpoint_with_a_path(monkeypatch: pytest.MonkeyPatch, proxy: bool, path: str) -> None:
    """The line of a request is the one that the client itself writes, whatever characters the path has."""
    seen: list[bytes] = []
    with RawServer(lambda one: seen.append(one.head.split(b"\r\n")[0]) or KEPT) as server:  # type: ignore[func-returns-value]
        if proxy:
            monkeypatch.setenv("HTTP_PROXY", server.url)
        client, lean = both(f"http://sqs.test{path}" if proxy else f"{server.url}{path}")
        for one in (client, lean):
            one.receive_message(QueueUrl=QUEUE)
        client.close()
    theirs, ours = seen
    assert theirs == ours


def test_what_is_unusual(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections of another kind, which would keep to no deadline; and what only botocore does for proxies."""
    client, _ = both("http://127.0.0.1:1")
    with monkeypatch.context() as patch:
        patch.setattr(client._endpoint.http_session._manager, "pool_classes_by_scheme", {})
        with pytest.raises(Unusual, match="no deadline"):
            Line(client, "http://127.0.0.1:1/", MOST)
    monkeypatch.setenv("BOTO_EXPERIMENTAL__ADD_PROXY_HOST_HEADER", "true")
    with pytest.raises(Unusual, match="ADD_PROXY_HOST_HEADER"):
        Line(client, "http://127.0.0.1:1/", MOST)
    client.close()


def test_threads_share_a_line() -> None:
    """Each call has its own answer, on a connection of its own while it is under way."""

    def respond(request: Request) -> bytes:
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(request.body), request.body)

    wrong: list[bytes] = []
    with RawServer(respond) as server:
        client, line = line_to(server.url)

        def work(name: int) -> None:
            for number in range(25):
                body = b"%d-%d" % (name, number)
                if body != (said := bytes(line.exchange(request(line, body)).body)):
                    wrong.append(said)

        threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        client.close()
    assert [] == wrong


def test_an_interruption_leaves_no_half_read_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """`KeyboardInterrupt` in the middle of an answer: the next call doesn't read the rest of it."""

    def first(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(ANSWER)
        connection.recv(1)

    def second(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(ANSWER.replace(b"{}", b"[]"))

    with OneByOne(first, second) as server:
        client, line = line_to(server.url)
        with monkeypatch.context() as patch:
            patch.setattr("cloudq.aws_wire.http_answer.AnswerReader.feed", interrupt)
            with pytest.raises(KeyboardInterrupt):
                line.exchange(request(line))
        assert b"[]" == bytes(line.exchange(request(line)).body)
        client.close()


def test_an_interruption_behind_a_timeout_leaves_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal while a call that took too long is being reported: its late answer isn't the next call's."""
    late, over = threading.Event(), threading.Event()

    def first(connection: socket.socket) -> None:
        read_request(connection)
        late.wait(60)
        connection.sendall(ANSWER)
        over.wait(60)

    def second(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(ANSWER.replace(b"{}", b"[]"))

    with OneByOne(first, second) as server:
        client, line = line_to(server.url)
        with monkeypatch.context() as patch:
            patch.setattr(Line, "_meant", interrupt)
            with pytest.raises(KeyboardInterrupt), Within(timedelta(seconds=0.2)):
                line.exchange(request(line))
        threading.Timer(0.2, late.set).start()
        threading.Timer(0.5, over.set).start()
        assert b"[]" == bytes(line.exchange(request(line)).body)
        client.close()


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt
