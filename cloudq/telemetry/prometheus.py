"""`Metrics`: what an observer sees, and how the worker stands, as Prometheus reads it. Needs prometheus-client.

Names, labels and their values are what dashboards and alerts are built on: docs/reference/metrics.md lists them, and a
test holds that page, the dashboard and the alert rules to what this module gives.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from datetime import timedelta
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder

from cloudq.core.delivery import Delivery
from cloudq.core.driver import SendResult
from cloudq.core.ending import Ending
from cloudq.core.message import Message
from cloudq.core.observing import Observer
from cloudq.core.printable import NAME_CHARS, printable, shortened
from cloudq.core.safe_log import SafeLogger
from cloudq.telemetry.metric_series import MetricSeries
from cloudq.telemetry.reported import Report, result_of
from cloudq.telemetry.standing import Standing

logger = SafeLogger("cloudq.worker")

OTHER: Final = "(other)"
"""The label `task` of what this program doesn't declare, so that a stranger's message makes no series of its own."""
# A program that sends another one's tasks names them in its own code; whatever goes beyond it is `OTHER`.
MOST_SENT_NAMES: Final = 200
# In seconds: from what a thread does in passing to what runs for an hour.
DURATIONS: Final = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
# In seconds: what waits for a day is as late as what waits for a week.
AGES: Final = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600)
# The outcomes whose rates people watch.
_EXPECTED: Final = (Ending.SUCCEEDED.value, Ending.RETRIED.value, Ending.DEAD_LETTERED.value)


class Metrics(Observer):
    """Counts what it observes, and serves it. Beside it, whatever the program itself has put into the default registry.

    Args:
        known: The names of the declared tasks.
        version: cloudq's, for `cloudq_worker_info`.
    """

    def __init__(self, *, known: Container[str], version: str) -> None:
        self._known = known
        self._version = version
        self._system = ""
        self._standing: Callable[[], Standing] | None = None
        self._sent_names: set[str] = set()
        self._others_fail = False  # at the latest scrape; racing scrapes may say so twice
        # One of its own: several workers in a process don't count for each other.
        self._ours = CollectorRegistry()
        make = MetricSeries(self._ours)
        self._sent = make.counter(
            "cloudq_messages_sent_total",
            "Messages that this process sent; result: stored, duplicate or failed.",
            labels=["queue", "task", "result"],
        )
        self._started = make.counter(
            "cloudq_tasks_started_total",
            "Deliveries whose work began; each attempt counts.",
            labels=["queue", "task"],
        )
        self._ended = make.counter(
            "cloudq_tasks_ended_total",
            "Deliveries that have ended, by outcome; each attempt counts.",
            labels=["queue", "task", "outcome"],
        )
        self._durations = make.histogram(
            "cloudq_task_duration_seconds",
            "For how long tasks ran, whatever became of them.",
            labels=["queue", "task"],
            buckets=DURATIONS,
        )
        self._ages = make.histogram(
            "cloudq_queue_age_seconds",
            "For how long messages had waited since they were due, when their work began.",
            labels=["queue"],
            buckets=AGES,
        )
        self._renewed = make.counter("cloudq_leases_renewed_total", "Leases that were extended.", labels=["queue"])
        self._lost = make.counter(
            "cloudq_leases_lost_total",
            "Leases that were over before the end of their task was recorded: those may run twice.",
            labels=["queue"],
        )
        self._calls = make.counter(
            "cloudq_api_calls_total",
            "Requests to the backend's service, by its own name of the operation; each try counts.",
            labels=["operation", "queue", "failed"],
        )
        self._call_seconds = make.counter(
            "cloudq_api_call_seconds_total",
            "How long requests to the backend's service took, together; long polls with their wait.",
            labels=["operation"],
        )
        self._held_back = make.gauge(
            "cloudq_queue_held_back",
            "1 while a queue isn't received from on purpose, and why: paused, rate, circuit open.",
            labels=["queue", "why"],
        )
        self._ours.register(_Standings(self._now))

    def watch(self, standing: Callable[[], Standing]) -> None:
        """Has each scrape ask how the worker stands."""
        self._standing = standing

    def expect(self, queue: str, task: str) -> None:
        """Has the series of a task begin with 0: where one begins with 1, there is no increase that an alert sees."""
        self._started[queue, task].inc(0)
        for outcome in _EXPECTED:
            self._ended[queue, task, outcome].inc(0)
        self._lost[queue,].inc(0)

    def page(self, accept: str) -> tuple[str, bytes]:
        """What a scrape is answered: the content type, and the text in the format that it accepts.

        A collector of the program's that fails takes nothing of ours away. It is logged until it works again, once.

        Args:
            accept: Its `Accept` header.
        """
        encode, content_type = choose_encoder(accept)
        try:
            page = encode(_Together(REGISTRY, self._ours))
        except Exception:
            if not self._others_fail:
                logger.exception("a collector of the program failed: only cloudq's own metrics are served")
            self._others_fail = True
            return content_type, encode(self._ours)
        self._others_fail = False
        return content_type, page

    # ── what happens ─────────────────────────────────────────────────────────────────────────────────────

    def opened(self, system: str, server: str | None) -> None:
        """Names the backend's service; where it is doesn't matter to its counts."""
        del server
        self._system = system

    def sent(self, message: Message, result: SendResult) -> None:
        """Counts one."""
        self._sent[message.queue, self._sent_name(message.task), result_of(result)].inc()

    def started(self, delivery: Delivery, age: timedelta | None) -> None:
        """Counts one, and for how long it waited."""
        self._started[delivery.queue, self._name(delivery)].inc()
        if age is not None:
            self._ages[delivery.queue,].observe(age.total_seconds())

    def ended(self, delivery: Delivery, ending: Ending, seconds: float | None) -> None:
        """Counts one, and for how long it ran, unless it may run on."""
        queue, task = delivery.queue, self._name(delivery)
        self._ended[queue, task, ending.value].inc()
        if seconds is not None:
            self._durations[queue, task].observe(seconds)

    def unrun(self, delivery: Delivery, ending: Ending) -> None:
        """Counts one, which didn't run."""
        self._ended[delivery.queue, self._name(delivery), ending.value].inc()

    def lease_renewed(self, queue: str, count: int) -> None:
        """Counts them."""
        self._renewed[queue,].inc(count)

    def lease_lost(self, delivery: Delivery) -> None:
        """Counts one."""
        self._lost[delivery.queue,].inc()

    def held_back(self, queue: str, why: str | None) -> None:
        """Notes it until it is received from again."""
        for (name, _), series in list(self._held_back.items()):
            if name == queue:
                series.set(0)
        if why is not None:
            self._held_back[queue, why].set(1)

    def called(self, operation: str, queue: str | None, seconds: float, error: BaseException | None) -> None:
        """Counts one, and how long it took."""
        self._add_calls(operation, queue or "", failed=error is not None, count=1, seconds=seconds)

    def add(self, report: Report) -> None:
        """Counts what a child process has reported."""
        for sent in report.sent:
            self._sent[sent.queue, self._sent_name(sent.task), sent.result].inc(sent.count)
        for calls in report.calls:
            self._add_calls(calls.operation, calls.queue, failed=calls.failed, count=calls.count, seconds=calls.seconds)

    def _add_calls(self, operation: str, queue: str, *, failed: bool, count: int, seconds: float) -> None:
        self._calls[operation, queue, "yes" if failed else "no"].inc(count)
        self._call_seconds[operation,].inc(seconds)

    # ── labels ───────────────────────────────────────────────────────────────────────────────────────────

    def _name(self, delivery: Delivery) -> str:
        name = OTHER if delivery.message is None else delivery.message.task
        return name if name in self._known else OTHER

    def _sent_name(self, name: str) -> str:
        if name in self._known:
            return name
        if name not in self._sent_names:
            if len(self._sent_names) >= MOST_SENT_NAMES:
                return OTHER
            self._sent_names.add(name)
        return printable(shortened(name, NAME_CHARS))

    def _now(self) -> tuple[Standing | None, str, str]:
        return None if self._standing is None else self._standing(), self._version, self._system


class _Together:
    """Several registries as one that is collected."""

    def __init__(self, *registries: CollectorRegistry) -> None:
        self._registries = registries

    def collect(self) -> Iterator[Metric]:
        """What all of them have."""
        for registry in self._registries:
            yield from registry.collect()


class _Standings:
    """Asks how the worker stands, at each scrape."""

    def __init__(self, now: Callable[[], tuple[Standing | None, str, str]]) -> None:
        self._now = now

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering asks nobody: there is no worker yet."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The series of this moment."""
        standing, version, system = self._now()
        info = GaugeMetricFamily(
            "cloudq_worker_info", "Always 1; which version, and on which service.", labels=["version", "system"]
        )
        info.add_metric([version, system], 1)
        yield info
        if standing is None:
            return
        yield GaugeMetricFamily(
            "cloudq_worker_ready", "1 while the worker takes work, as /readyz says.", standing.ready
        )
        yield GaugeMetricFamily("cloudq_worker_slots", "The most tasks that it runs at once.", standing.slots)
        hand = GaugeMetricFamily(
            "cloudq_deliveries",
            "Deliveries in the worker's hands; state: waiting (for a slot), running, settling.",
            labels=["state"],
        )
        for state in ("waiting", "running", "settling"):
            hand.add_metric([state], getattr(standing, state))
        yield hand
        failing = GaugeMetricFamily(
            "cloudq_outage",
            "1 while it lasts; kind: receive, settle, store, leases, unknown_tasks, certificates.",
            labels=["kind", "queue"],
        )
        for one in standing.failing:
            failing.add_metric([one.kind, one.queue], one.now)
        yield failing
        yield CounterMetricFamily(
            "cloudq_polls_replaced", "Polls that never came back, and were left.", standing.polls_replaced
        )
        yield CounterMetricFamily(
            "cloudq_children_died", "Child processes that ended before their task did.", standing.children_died
        )
