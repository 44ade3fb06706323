"""Who makes the calls: the lean wire, which steps aside by itself, and comes back."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import quote

import pytest
from botocore.client import BaseClient
from botocore.stub import Stubber
from wrapt import FunctionWrapper

from cloudq.core.call_reports import CallReports
from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.driver import Outgoing
from cloudq.drivers.sqs import SQSDriver
from cloudq.drivers.sqs.lean import LeanClient
from cloudq.drivers.sqs.url import open_url
from cloudq.errors import ConfigurationError
from cloudq.queues.urls import parse_url
from tests.chaos.raw_answers import RawServer
from tests.unit.drivers.sqs.fakes import FakeSqs
from tests.unit.drivers.sqs.served import answered
from tests.unit.drivers.sqs.using import ZERO

ITEM = Outgoing(id="1", queue="q", body=b"{}")
LEASE = timedelta(minutes=1)
AGAIN = "calls to Amazon SQS that repeat are made by cloudq again, without the SDK"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    caplog.set_level(logging.INFO, logger="cloudq")


@pytest.fixture
def server() -> Iterator[RawServer]:
    """An SQS with the queue `q`."""
    sqs = FakeSqs("q")
    with RawServer(lambda request: answered(sqs, request)) as server:
        yield server


@pytest.fixture
def driver(server: RawServer) -> Iterator[SQSDriver]:
    driver = SQSDriver("eu-west-1", endpoint_url=server.url, look_wait=ZERO)
    yield driver
    driver.close()


def is_lean(driver: SQSDriver) -> bool:
    return isinstance(driver._calls.client_for("q"), LeanClient)


def stored(driver: SQSDriver) -> bool:
    return driver.send([ITEM])[0].error is None


class Tracer:
    """Sees each call, as tracers do that wrap botocore's method by wrapt."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        self.seen.append(args[0])
        return wrapped(*args, **kwargs)

    def turned_on(self) -> Any:
        """`with tracer.turned_on():` it sees the calls in it."""
        return mock.patch.object(BaseClient, "_make_api_call", FunctionWrapper(BaseClient._make_api_call, self))


def test_the_driver_makes_its_calls_itself(driver: SQSDriver, caplog: pytest.LogCaptureFixture) -> None:
    """With nothing foreign around botocore isn't asked for a call that repeats, and nothing is said of it."""
    assert is_lean(driver)
    with mock.patch.object(LeanClient, "send_message_batch", side_effect=OSError("lean")) as lean:
        assert not stored(driver)
    assert 1 == lean.call_count
    assert stored(driver)
    assert [] == caplog.messages


def test_a_tracer_that_is_turned_on_later_sees_each_call(driver: SQSDriver, caplog: pytest.LogCaptureFixture) -> None:
    """From the next one on; once it is off, the driver makes them itself. Each change is logged once."""
    assert stored(driver)
    tracer = Tracer()
    with tracer.turned_on():
        assert all(stored(driver) for _ in range(3))
        assert 1 == len(driver.receive("q", limit=1, wait=ZERO, lease=LEASE))
    assert ["SendMessageBatch"] * 3 + ["ReceiveMessage"] == tracer.seen
    assert stored(driver)
    assert is_lean(driver)
    assert 4 == len(tracer.seen)
    aside = f"calls to Amazon SQS are made by the SDK: BaseClient._make_api_call is replaced by {__name__}"
    assert [aside, AGAIN] == caplog.messages


def test_a_tracer_that_was_on_sees_each_call(server: RawServer, caplog: pytest.LogCaptureFixture) -> None:
    """It is decided when the driver is opened, and said then."""
    tracer = Tracer()
    with tracer.turned_on():
        driver = SQSDriver("eu-west-1", endpoint_url=server.url)
        assert 1 == len(caplog.messages)
        assert stored(driver)
    assert ["GetQueueUrl", "SendMessageBatch"] == tracer.seen
    assert is_lean(driver)
    driver.close()


def test_a_handler_of_the_programs_own_is_called(driver: SQSDriver) -> None:
    """On the client that the driver shows, for which it is documented."""
    seen: list[str] = []

    def called(model: Any, **_: object) -> None:
        seen.append(model.name)

    driver.client.meta.events.register("before-call.sqs", called)
    assert stored(driver)
    driver.client.meta.events.unregister("before-call.sqs", called)
    assert stored(driver)
    assert ["GetQueueUrl", "SendMessageBatch"] == seen


def test_a_stub_of_botocores_answers(driver: SQSDriver) -> None:
    """A program's test that stubs the driver's client reaches nobody."""
    assert stored(driver)
    with Stubber(driver.client) as stub:
        stub.add_client_error("send_message_batch", "AccessDenied", "by the stub")
        assert "by the stub" in str(driver.send([ITEM])[0].error)
        stub.assert_no_pending_responses()
    assert stored(driver)


def test_a_method_that_is_put_into_the_client_is_called(driver: SQSDriver) -> None:
    """As tests do by `mock.patch.object`."""
    with mock.patch.object(driver.client, "send_message_batch", side_effect=OSError("by the mock")) as sent:
        assert "by the mock" in str(driver.send([ITEM])[0].error)
    assert 1 == sent.call_count
    assert stored(driver)


def test_a_client_that_is_lent_makes_all_calls(server: RawServer, driver: SQSDriver) -> None:
    """Whoever made it knows why: nothing is known of what was done to it."""
    lent = SQSDriver("eu-west-1", client=driver.client)
    assert lent._calls.client_for("q") is driver.client
    assert stored(lent)


@pytest.mark.parametrize(("parameters", "lean"), [("", True), ("&wire=auto", True), ("&wire=boto3", False)])
def test_the_url_may_say_so(server: RawServer, caplog: pytest.LogCaptureFixture, parameters: str, lean: bool) -> None:
    """`wire=boto3` has the SDK make all calls, and nothing is looked at."""
    url = parse_url(f"sqs://eu-west-1?endpoint_url={quote(server.url, safe='')}{parameters}")
    driver = open_url(url, SYSTEM_CLOCK)
    assert lean is is_lean(driver)
    assert stored(driver)
    assert [] == caplog.messages
    driver.close()


@pytest.mark.parametrize("wire", ["", "lean", "BOTO3"])
def test_a_wire_that_there_is_not(wire: str) -> None:
    """Refused, with those that there are."""
    with pytest.raises(ConfigurationError, match="none of auto and boto3"):
        open_url(parse_url(f"sqs://eu-west-1?wire={wire}"), SYSTEM_CLOCK)
    with pytest.raises(ConfigurationError, match="none of auto and boto3"):
        SQSDriver("eu-west-1", wire=wire)  # type: ignore[arg-type]  # that is what is tested


def test_a_client_that_cannot_be_spoken_for_makes_its_calls(
    server: RawServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Signed by nobody, say, as its settings may have it: the SDK calls, and the log says why."""
    (tmp_path / "config").write_text("[default]\nsqs =\n  signature_version = v3\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    driver = SQSDriver("eu-west-1", endpoint_url=server.url)
    assert driver._calls.client_for("q") is driver.client
    (said,) = caplog.messages
    assert said.startswith("calls to Amazon SQS are made by the SDK: ")
    assert "signed" in said
    driver.close()


def test_a_change_that_many_threads_see_is_logged_once(driver: SQSDriver, caplog: pytest.LogCaptureFixture) -> None:
    """Whichever of them is the first."""
    with ThreadPoolExecutor(8) as threads, Tracer().turned_on():
        assert not any(threads.map(lambda _: is_lean(driver), range(200)))
    assert 1 == len(caplog.messages)


def test_closing_closes_the_idle_connections_of_both(driver: SQSDriver) -> None:
    """Those by which the driver called, too: its own pool isn't the client's to close."""
    assert stored(driver)
    lean = driver._calls.client_for("q")
    with mock.patch.object(LeanClient, "close", autospec=True, side_effect=LeanClient.close) as closed:
        driver.close()
    assert [mock.call(lean)] == closed.call_args_list


class Instrumentation(Tracer):
    """One of OpenTelemetry's, as far as anybody can tell."""

    __module__ = "opentelemetry.instrumentation.botocore"


def test_opentelemetrys_are_nobody_who_is_to_see_the_calls_where_ours_are_made(driver: SQSDriver) -> None:
    """As soon as that is said, and until it is taken back."""
    instrumentation = Instrumentation()
    quiet = CallReports(None, nullcontext)
    with instrumentation.turned_on():
        assert stored(driver)
        assert not is_lean(driver)
        driver.report_to(quiet)
        assert is_lean(driver)
        assert stored(driver)
        driver.report_to(CallReports(None, None))
        assert not is_lean(driver)
    assert ["GetQueueUrl", "SendMessageBatch"] == instrumentation.seen


def test_other_tracers_see_the_calls_all_the_same(driver: SQSDriver) -> None:
    """Those that nobody speaks for, also around one of OpenTelemetry's."""
    driver.report_to(CallReports(None, nullcontext))
    tracer = Tracer()
    with Instrumentation().turned_on(), tracer.turned_on():
        assert stored(driver)
    assert ["GetQueueUrl", "SendMessageBatch"] == tracer.seen
