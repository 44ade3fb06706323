"""What Prometheus reads of what is observed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from prometheus_client import REGISTRY
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.delivery import Delivery
from cloudq.core.driver import SendResult
from cloudq.core.ending import Ending
from cloudq.core.message import Message
from cloudq.errors import BackendUnavailable
from cloudq.telemetry import prometheus
from cloudq.telemetry.prometheus import OTHER, Metrics
from cloudq.telemetry.reported import CallCount, Report, SentCount
from cloudq.telemetry.standing import Failing, OutageKind, Standing
from tests.unit.worker.fakes import delivery

KNOWN = {"shop.mail", "shop.bill"}


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(known=KNOWN, version="1.2.3")


def samples(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """The series of that name by the values of their labels, in the order of the labels' names."""
    text = metrics.page("")[1].decode()
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def of(task: str, queue: str = "emails") -> Delivery:
    return delivery(SYSTEM_CLOCK, task=task, queue=queue)


def test_deliveries_are_counted_from_start_to_end(metrics: Metrics) -> None:
    """By queue and task, the ends by outcome; how long they waited and ran as histograms."""
    metrics.started(of("shop.mail"), timedelta(seconds=3))
    metrics.ended(of("shop.mail"), Ending.SUCCEEDED, 0.2)
    metrics.started(of("shop.mail"), None)
    metrics.ended(of("shop.mail"), Ending.RETRIED, 40)
    metrics.unrun(of("shop.mail"), Ending.DUPLICATE)
    assert {("emails", "shop.mail"): 2} == samples(metrics, "cloudq_tasks_started_total")
    assert {
        ("succeeded", "emails", "shop.mail"): 1,
        ("retried", "emails", "shop.mail"): 1,
        ("duplicate", "emails", "shop.mail"): 1,
    } == samples(metrics, "cloudq_tasks_ended_total")
    assert {("emails", "shop.mail"): 2} == samples(metrics, "cloudq_task_duration_seconds_count")
    assert {("emails", "shop.mail"): 40.2} == samples(metrics, "cloudq_task_duration_seconds_sum")
    ages = samples(metrics, "cloudq_queue_age_seconds_bucket")
    assert (0, 1) == (ages["1.0", "emails"], ages["5.0", "emails"])


def test_what_was_given_up_has_no_duration(metrics: Metrics) -> None:
    """It may run on; it is counted all the same."""
    metrics.ended(of("shop.mail"), Ending.RELEASED, None)
    assert {("released", "emails", "shop.mail"): 1} == samples(metrics, "cloudq_tasks_ended_total")
    assert {} == samples(metrics, "cloudq_task_duration_seconds_count")


def test_a_strangers_task_makes_no_series(metrics: Metrics) -> None:
    """Whatever messages name that this program doesn't declare is one series, and so is what can't be read."""
    for number in range(50):
        metrics.started(of(f"theirs.{number}"), None)
    metrics.started(Delivery.of(b"{", native_id="n", runs=1, deliveries=1, lease=of("x").lease), None)
    assert {("emails", OTHER): 51} == samples(metrics, "cloudq_tasks_started_total")


def test_tasks_of_others_that_are_sent_have_a_bound(metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program's own code names them, but what it computes as a name doesn't fill a monitoring system."""
    monkeypatch.setattr(prometheus, "MOST_SENT_NAMES", 2)
    for name in ("shop.mail", "a", "b", "c", "d", "a", "bad\ud800\n"):
        metrics.sent(Message(id="m", task=name, queue="emails"), SendResult())
    sent = samples(metrics, "cloudq_messages_sent_total")
    assert {"shop.mail": 1, "a": 2, "b": 1, OTHER: 3} == {key[2]: count for key, count in sent.items()}


def test_a_name_that_cant_be_written_is_escaped(metrics: Metrics) -> None:
    """Half of a surrogate pair would have the whole page fail."""
    metrics.sent(Message(id="m", task="bad\ud800", queue="emails"), SendResult())
    assert {r"bad\ud800"} == {key[2] for key in samples(metrics, "cloudq_messages_sent_total")}


def test_sends_are_counted_by_what_became_of_them(metrics: Metrics) -> None:
    """Stored, known already, or failed."""
    for result in (SendResult(), SendResult(duplicate=True), SendResult(error=BackendUnavailable("no"))):
        metrics.sent(Message(id="m", task="shop.mail", queue="emails"), result)
    assert {"stored": 1, "duplicate": 1, "failed": 1} == {
        key[1]: count for key, count in samples(metrics, "cloudq_messages_sent_total").items()
    }


def test_leases_and_calls_are_counted(metrics: Metrics) -> None:
    """Calls by operation, the failed ones apart: that is what is billed."""
    metrics.lease_renewed("emails", 3)
    metrics.lease_lost(of("shop.mail"))
    metrics.called("SendMessageBatch", "emails", 0.5, None)
    metrics.called("SendMessageBatch", "emails", 0.25, BackendUnavailable("no"))
    assert {("emails",): 3} == samples(metrics, "cloudq_leases_renewed_total")
    assert {("emails",): 1} == samples(metrics, "cloudq_leases_lost_total")
    assert {("no", "SendMessageBatch", "emails"): 1, ("yes", "SendMessageBatch", "emails"): 1} == samples(
        metrics, "cloudq_api_calls_total"
    )
    assert {("SendMessageBatch",): 0.75} == samples(metrics, "cloudq_api_call_seconds_total")


def test_a_queue_is_held_back_for_one_reason_at_a_time(metrics: Metrics) -> None:
    """Until it is received from again."""
    metrics.held_back("emails", "paused")
    metrics.held_back("emails", "rate")
    assert {("emails", "paused"): 0, ("emails", "rate"): 1} == samples(metrics, "cloudq_queue_held_back")
    metrics.held_back("emails", None)
    assert {0} == set(samples(metrics, "cloudq_queue_held_back").values())


def test_what_children_report_is_added(metrics: Metrics) -> None:
    """As if it had happened here."""
    metrics.sent(Message(id="m", task="shop.mail", queue="emails"), SendResult())
    report = Report(
        sent=[SentCount("emails", "shop.mail", "stored", 4)], calls=[CallCount("CreateTask", "emails", True, 2, 0.5)]
    )
    metrics.add(report)
    assert {("emails", "stored", "shop.mail"): 5} == samples(metrics, "cloudq_messages_sent_total")
    assert {("yes", "CreateTask", "emails"): 2} == samples(metrics, "cloudq_api_calls_total")


def test_expected_series_begin_with_nothing(metrics: Metrics) -> None:
    """A counter that begins with 1 has no increase that an alert could see."""
    metrics.expect("emails", "shop.mail")
    ended = samples(metrics, "cloudq_tasks_ended_total")
    assert {"succeeded", "retried", "dead_lettered"} == {outcome for outcome, _, _ in ended}
    assert {0} == set(ended.values()) | set(samples(metrics, "cloudq_leases_lost_total").values())


def test_each_scrape_asks_how_the_worker_stands(metrics: Metrics) -> None:
    """Not before there is a worker."""
    metrics.opened("aws_sqs", "sqs.eu-west-1.amazonaws.com")
    assert {("aws_sqs", "1.2.3"): 1} == samples(metrics, "cloudq_worker_info")
    assert {} == samples(metrics, "cloudq_worker_ready")
    standing = Standing(
        ready=False,
        slots=10,
        waiting=3,
        running=2,
        settling=1,
        failing=[Failing(OutageKind.RECEIVE, "emails", True), Failing(OutageKind.LEASES, "", False)],
        polls_replaced=1,
        children_died=7,
    )
    metrics.watch(lambda: standing)
    assert {(): 0} == samples(metrics, "cloudq_worker_ready")
    assert {(): 10} == samples(metrics, "cloudq_worker_slots")
    assert {("waiting",): 3, ("running",): 2, ("settling",): 1} == samples(metrics, "cloudq_deliveries")
    assert {("receive", "emails"): 1, ("leases", ""): 0} == samples(metrics, "cloudq_outage")
    assert ({(): 1}, {(): 7}) == (
        samples(metrics, "cloudq_polls_replaced_total"),
        samples(metrics, "cloudq_children_died_total"),
    )


def test_openmetrics_is_answered_to_those_who_take_it(metrics: Metrics) -> None:
    """Else Prometheus' older text."""
    content_type, text = metrics.page("application/openmetrics-text; version=1.0.0, text/plain;q=0.5")
    assert content_type.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")
    assert metrics.page("*/*")[0].startswith("text/plain")


def test_the_programs_own_metrics_are_served_too(metrics: Metrics) -> None:
    """Whatever is in the default registry: those of the process, for one."""
    assert samples(metrics, "python_info")


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text; version=1.0.0"])
def test_a_collector_that_fails_takes_nothing_of_ours_away(
    metrics: Metrics, accept: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says so, once until it works again."""

    class Broken:
        works = False

        def collect(self) -> Iterator[Metric]:
            if not self.works:
                raise ConnectionError("no database")
            return iter(())

    broken = Broken()
    broken.works = True
    REGISTRY.register(broken)
    broken.works = False
    try:
        for _ in range(2):
            assert b"cloudq_worker_info" in metrics.page(accept)[1]
        assert ["a collector of the program failed: only cloudq's own metrics are served"] == caplog.messages
        broken.works = True
        assert b"python_info" in metrics.page(accept)[1]
        broken.works = False
        metrics.page(accept)
        assert 2 == len(caplog.messages)
    finally:
        REGISTRY.unregister(broken)


def test_two_workers_of_a_process_count_for_themselves(metrics: Metrics) -> None:
    """Each has a registry of its own."""
    other = Metrics(known=KNOWN, version="1.2.3")
    other.started(of("shop.mail"), None)
    assert {} == samples(metrics, "cloudq_tasks_started_total")
