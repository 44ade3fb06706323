"""Each call ends in time, whatever the network does: real sockets, a real client."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partialmethod
from pathlib import Path
from typing import Any, get_args

import pytest
import urllib3.util.connection
from botocore.awsrequest import AWSHTTPConnection, AWSHTTPConnectionPool, AWSHTTPSConnectionPool

from cloudq.aws_wire.connections import _InTime, _Pool, _TlsPool, bind
from cloudq.aws_wire.wires import WireName
from cloudq.core.driver import Outgoing
from cloudq.drivers.sqs import SQSDriver
from cloudq.drivers.sqs.client import open_client
from cloudq.errors import BackendUnavailable
from tests.chaos.http_proxy import Request
from tests.chaos.raw_answers import RawServer
from tests.unit.aws_wire.tls import TlsServer, certify
from tests.unit.drivers.sqs.fakes import FakeSqs
from tests.unit.drivers.sqs.served import answered

TIMEOUT = timedelta(seconds=0.9)
CALL = TIMEOUT / 3
ZERO = timedelta(0)
# How much later than it should a call may end on a machine with other things to do. Without bounds all take for ever.
SLACK = 30.0

ITEM = Outgoing(id="1", queue="q", body=b"{}")


@pytest.fixture(autouse=True, params=get_args(WireName))
def wire(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> WireName:
    """Each test is made over both wires: all its drivers have the one."""
    name: WireName = request.param
    monkeypatch.setattr(SQSDriver, "__init__", partialmethod(SQSDriver.__init__, wire=name))
    return name


@pytest.fixture(autouse=True)
def patient_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the calls that are to end in time. A busy machine takes longer to load the SDK and to find credentials."""

    def open_patiently(*given: Any, **options: Any) -> Any:
        return open_client(*given, **options | {"timeout": timedelta(seconds=SLACK)})

    monkeypatch.setattr("cloudq.drivers.sqs.driver.open_client", open_patiently)


def driver_for(url: str) -> SQSDriver:
    return SQSDriver("eu-west-1", endpoint_url=url, account="000000000001", timeout=TIMEOUT, look_wait=ZERO)


def patient_driver_for(url: str) -> SQSDriver:
    """For what has to work, however busy the machine is."""
    return SQSDriver("eu-west-1", endpoint_url=url, account="000000000001", look_wait=ZERO)


def assert_ends_in_time(driver: SQSDriver, calls: int = 1) -> None:
    began = time.monotonic()
    for _ in range(calls):
        assert isinstance(driver.send([ITEM])[0].error, BackendUnavailable)
    assert time.monotonic() - began < calls * CALL.total_seconds() + SLACK
    began = time.monotonic()
    with pytest.raises(BackendUnavailable):
        driver.receive("q", limit=1, wait=timedelta(seconds=0.2), lease=timedelta(minutes=1))
    assert time.monotonic() - began < CALL.total_seconds() + 0.2 + SLACK
    driver.close()


@pytest.fixture
def over() -> Iterator[threading.Event]:
    """Set at the test's end, for servers that would wait."""
    event = threading.Event()
    yield event
    event.set()


def silent(over: threading.Event) -> Callable[[Request], Iterator[bytes]]:
    def respond(_: Request) -> Iterator[bytes]:
        over.wait(60)
        yield b""

    return respond


def dripping(over: threading.Event) -> Callable[[Request], Iterator[bytes]]:
    """A whole answer, byte after byte, each well within any timeout for one read."""

    def respond(request: Request) -> Iterator[bytes]:
        whole = answered(FakeSqs("q"), request) if request.action != "?" else b"HTTP/1.1 200 OK\r\n\r\n"
        for number in range(len(whole)):
            if over.wait(CALL.total_seconds() / 2):
                return
            yield whole[number : number + 1]

    return respond


@pytest.mark.parametrize("server", [silent, dripping])
def test_a_server_that_never_ends_its_answer(over: threading.Event, server: Any) -> None:
    """It says nothing, or a byte now and then."""
    with RawServer(server(over)) as raw:
        assert_ends_in_time(driver_for(raw.url))


def test_a_server_that_reads_nothing() -> None:
    """A body that is larger than all buffers on the way isn't taken."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        driver = driver_for(f"http://127.0.0.1:{listener.getsockname()[1]}")
        large = Outgoing(id="1", queue="q", body=b"x" * 1_000_000)
        began = time.monotonic()
        errors = [result.error for _ in range(4) for result in driver.send([large])]
        assert {BackendUnavailable} == {type(error) for error in errors}
        assert time.monotonic() - began < 4 * CALL.total_seconds() + SLACK
        driver.close()


def test_an_address_that_does_not_answer() -> None:
    """Connections aren't even accepted: its queue of them is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        assert_ends_in_time(driver_for(f"http://127.0.0.1:{port}"))
        for one in waiting:
            one.close()


def test_names_that_are_not_found_and_names_that_nobody_answers_for(
    monkeypatch: pytest.MonkeyPatch, over: threading.Event
) -> None:
    """The one is said at once, the other at the call's end; a lookup under way is waited for, not made again."""
    lookups: list[str] = []
    resolve = socket.getaddrinfo

    def lookup(host: Any, *arguments: Any, **options: Any) -> Any:
        if options.get("flags") == socket.AI_NUMERICHOST:
            return resolve(host, *arguments, **options)
        lookups.append(host)
        if host == "silent.test.localhost":
            over.wait(60)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    unknown = patient_driver_for("http://unknown.test.localhost")
    error = unknown.send([ITEM])[0].error
    assert isinstance(error, BackendUnavailable)
    assert "name resolution" in str(error)
    unknown.close()
    assert_ends_in_time(driver_for("http://silent.test.localhost"), calls=2)
    assert ["unknown.test.localhost", "silent.test.localhost"] == lookups


def test_a_name_with_several_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that refuses is passed over."""
    resolve = socket.getaddrinfo
    with (
        RawServer(lambda request: answered(FakeSqs("q"), request)) as raw,
        socket.create_server(("127.0.0.1", 0)) as no,
    ):
        refusing = no.getsockname()[1]
        no.close()

        def lookup(host: Any, *arguments: Any, **options: Any) -> Any:
            if host != "two.test.localhost":
                return resolve(host, *arguments, **options)
            if options.get("flags") == socket.AI_NUMERICHOST:
                raise socket.gaierror(socket.EAI_NONAME, "a name")
            kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
            return [(*kind, ("127.0.0.1", refusing)), (*kind, ("127.0.0.1", raw.port))]

        monkeypatch.setattr(socket, "getaddrinfo", lookup)
        driver = patient_driver_for(f"http://two.test.localhost:{raw.port}")
        (result,) = driver.send([ITEM])
        # The fake knows its queues by another host, so whoever answers says that there is none.
        assert "there is no queue" in str(result.error)
        driver.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate of its own for localhost."""
    return certify(tmp_path_factory.mktemp("tls") / "both.pem")


@pytest.mark.parametrize("server", [silent, dripping])
def test_over_tls_too(monkeypatch: pytest.MonkeyPatch, over: threading.Event, server: Any, certificate: Path) -> None:
    """Reading what is encrypted is bounded in the same way."""
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    with TlsServer(server(over), certificate) as raw:
        assert_ends_in_time(driver_for(raw.url))


def test_tls_works(monkeypatch: pytest.MonkeyPatch, certificate: Path) -> None:
    """Its certificate is looked at, and what is sent and received is whole."""
    requests: list[Request] = []

    def respond(request: Request) -> bytes:
        requests.append(request)
        return answered(FakeSqs("q"), request)

    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    with TlsServer(respond, certificate) as raw:
        driver = SQSDriver("eu-west-1", endpoint_url=raw.url, look_wait=ZERO)
        assert [None] * 9 == [
            result.error
            for result in driver.send([Outgoing(id=str(n), queue="q", body=b"y" * 99_999) for n in range(9)])
        ]
        assert {"GetQueueUrl", "SendMessageBatch"} == {request.action for request in requests}
        driver.close()
    monkeypatch.delenv("AWS_CA_BUNDLE")
    with TlsServer(respond, certificate) as raw:
        driver = patient_driver_for(raw.url)
        error = driver.send([ITEM])[0].error
        assert isinstance(error, BackendUnavailable)
        assert "CERTIFICATE_VERIFY_FAILED" in str(error)
        driver.close()


def test_a_handshake_that_never_ends() -> None:
    """A server that accepts, and says nothing at all."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert_ends_in_time(driver_for(f"https://127.0.0.1:{listener.getsockname()[1]}"))


def test_calls_of_the_programs_own_have_the_sdks_timeouts(over: threading.Event) -> None:
    """Without a deadline nothing is cut short, also on connections that the driver opened."""
    sqs = FakeSqs("q")
    pause = CALL.total_seconds() * 1.5

    def slowly(request: Request) -> Iterator[bytes]:
        over.wait(pause)
        yield answered(sqs, request)

    with RawServer(slowly) as raw:
        driver = driver_for(raw.url)
        with pytest.raises(BackendUnavailable):
            driver.stats("q")
        assert driver.client.get_queue_url(QueueName="q")["QueueUrl"]
        driver.close()


def test_the_sdks_parts_are_where_they_are_taken() -> None:
    """A newer botocore may have moved them; then calls would be bounded by its own timeouts only."""
    driver = driver_for("http://127.0.0.1:1")
    http = driver.client._endpoint.http_session
    for classes in (http._manager.pool_classes_by_scheme, http._pool_classes_by_scheme):
        assert {"http": _Pool, "https": _TlsPool} == classes
    driver.close()
    bind(FakeSqs())  # what isn't made that way is left as it is


def test_several_calls_share_one_methods_time(over: threading.Event) -> None:
    """`stats` makes four, each of which would end in time."""
    sqs = FakeSqs("q", "q-dlq")

    def respond(request: Request) -> Iterator[bytes]:
        over.wait(CALL.total_seconds() * 0.7)
        yield answered(sqs, request)

    with RawServer(respond) as raw:
        driver = SQSDriver("eu-west-1", endpoint_url=raw.url, timeout=TIMEOUT)
        with pytest.raises(BackendUnavailable):
            driver.stats("q")
        driver.close()


def test_what_other_sockets_take_is_handed_on() -> None:
    """gevent's sockets call their own methods with parameters that Python's don't have: they arrive."""

    class Base:
        def sendall(self, data: bytes, flags: int = 0) -> None:
            assert len(data) == self.send(data, flags, timeout=7)

        def send(self, data: bytes, flags: int = 0, timeout: object = None) -> int:
            return self.recv_into(bytearray(data), timeout=timeout)

        def recv_into(self, buffer: bytearray, nbytes: int = 0, *, timeout: object = None) -> int:
            assert timeout == 7
            return len(buffer)

    class Green(_InTime, Base):
        pass

    Green().sendall(b"text", flags=1)


def test_sockets_that_stand_in_for_the_network_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """As httpretty's or mocket's, which are to answer instead of AWS, also of a driver that was opened before."""
    driver = patient_driver_for("http://127.0.0.1:9")

    class StandIn(socket.socket):
        def connect(self, address: Any) -> None:
            raise OSError("nothing leaves this test")

    monkeypatch.setattr(socket, "socket", StandIn)
    assert "nothing leaves this test" in str(driver.send([ITEM])[0].error)
    driver.close()


def test_a_guard_at_connecting_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """As pytest-recording's and pytest-socket's, which let no connection through but those that are allowed."""

    def refuse(sock: socket.socket, address: Any) -> None:
        raise OSError(f"no connection to {address} here")

    monkeypatch.setattr(socket.socket, "connect", refuse, raising=False)
    driver = patient_driver_for("http://127.0.0.1:9")
    assert "no connection to ('127.0.0.1', 9) here" in str(driver.send([ITEM])[0].error)
    driver.close()


def test_who_opens_connections_of_urllib3_opens_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """As programs do that know better where a name leads."""
    asked: list[Any] = []

    def create(address: Any, *_: Any, **__: Any) -> socket.socket:
        asked.append(address)
        raise OSError("not today")

    monkeypatch.setattr(urllib3.util.connection, "create_connection", create)
    driver = patient_driver_for("http://elsewhere.test.localhost:8")
    assert "not today" in str(driver.send([ITEM])[0].error)
    assert [("elsewhere.test.localhost", 8)] == asked
    driver.close()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_recorders_connections_are_used(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    """As vcrpy's, whose class takes the place of botocore's own while a cassette is in."""
    pools = {"http": AWSHTTPConnectionPool, "https": AWSHTTPSConnectionPool}
    driver = patient_driver_for(f"{scheme}://127.0.0.1:9")

    class Recorder(AWSHTTPConnection):  # type: ignore[misc]  # botocore has no types
        def __init__(self, *arguments: Any, **more: Any) -> None:
            raise OSError("this cassette is empty")

    with monkeypatch.context() as patch:
        patch.setattr(pools[scheme], "ConnectionCls", Recorder)
        assert "this cassette is empty" in str(driver.send([ITEM])[0].error)
    assert "this cassette is empty" not in str(driver.send([ITEM])[0].error)
    driver.close()


def test_sockets_of_greenlets_keep_to_deadlines(monkeypatch: pytest.MonkeyPatch, over: threading.Event) -> None:
    """They take the place of Python's; ours are of their kind, and end in time."""
    made: list[str] = []

    class Green(socket.socket):
        def connect(self, address: Any) -> None:
            made.append(type(self).__mro__[2].__module__)
            super().connect(address)

    monkeypatch.setattr(Green, "__module__", "gevent._socket3")
    monkeypatch.setattr(socket, "socket", Green)
    with RawServer(silent(over)) as raw:
        assert_ends_in_time(driver_for(raw.url))
    assert {"gevent._socket3"} == set(made)


def test_a_connection_that_a_recorder_opened_is_not_used_when_it_is_gone(
    monkeypatch: pytest.MonkeyPatch, wire: WireName
) -> None:
    """It has the recorder's socket still, which sees all and keeps to no deadline: the next call opens its own."""

    class Recorder(socket.socket):
        def sendall(self, *arguments: Any) -> None:
            if self.getpeername()[1] == raw.port:  # not the server's own
                seen.append(self)
            super().sendall(*arguments)

    seen: list[Recorder] = []
    sqs = FakeSqs("q")
    with RawServer(lambda request: answered(sqs, request)) as raw:
        driver = patient_driver_for(raw.url)
        with monkeypatch.context() as patch:
            patch.setattr(socket, "socket", Recorder)
            driver.send([ITEM])
        sends = len(seen)
        assert sends
        driver.send([ITEM])
        assert sends == len(seen) or wire == "boto3"  # the SDK keeps its connections
        driver.close()
