"""Which settings of a queue are a fault. Pure: settings and needs in, findings out.

One law for what is set up already, as a service tells it, and for what a Terraform plan would set up: `cloudq doctor`,
`cloudq queues check` and `cloudq terraform check` differ only in where the settings are from, and how they are called.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Final

import msgspec

from cloudq.cli.doctor.catalogue import FAULTS
from cloudq.cli.doctor.fault import Finding, Where
from cloudq.cli.queue_needs import Cloud, Needs, least_receives, lock_seconds, seconds, unfit
from cloudq.core.capabilities import Capabilities
from cloudq.core.message import dead_letter_queue, is_ordered
from cloudq.core.policy import RetryPolicy
from cloudq.core.queue_settings import QueueSettings
from cloudq.drivers.cloud_tasks.limits import LONGEST_BACKOFF, SHORTEST_BACKOFF
from cloudq.drivers.sqs.limits import MAX_BYTES, RETENTION

WHERES: Final[Mapping[Cloud, Where]] = {
    Cloud.AWS: Where.SQS,
    Cloud.GOOGLE: Where.CLOUD_TASKS,
    Cloud.AZURE: Where.SERVICE_BUS,
}
# What Cloud Tasks sets by itself ("Queue", Cloud Tasks RPC reference, 2026-11). 0 is unset.
_ITS_OWN_CONCURRENT: Final = frozenset({0, 1000})
# As many as one worker runs by default.
_CONCURRENT: Final = 10
_ENOUGH: Final = "the least that lets the retry policy decide"
_LOST: Final = "dead letters would be lost"
# Of tasks that say nothing of retries.
_DELIVERIES: Final = RetryPolicy().max_deliveries


class Vocabulary(msgspec.Struct, frozen=True, kw_only=True):
    """How things are called where the settings are from.

    Attributes:
        there_is: How a sentence starts that says what isn't there.
        names: What Terraform's names for settings are called there, where that differs.
    """

    there_is: str
    names: Mapping[str, str] = {}

    def name(self, terraform: str) -> str:
        """The setting's name there."""
        return self.names.get(terraform, terraform)


PLANNED: Final = Vocabulary(there_is="the plan has")
LIVE: Final = Vocabulary(
    there_is="there is",
    # The other services' own names are Terraform's.
    names={
        "visibility_timeout_seconds": "VisibilityTimeout",
        "message_retention_seconds": "MessageRetentionPeriod",
        "max_message_size": "MaximumMessageSize",
        "delay_seconds": "DelaySeconds",
        "fifo_queue": "FifoQueue",
        "redrive_policy": "RedrivePolicy",
        "redrive_allow_policy": "RedriveAllowPolicy",
        "sqs_managed_sse_enabled": "SqsManagedSseEnabled",
    },
)


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """A queue as it was found.

    Attributes:
        cloud: Whose.
        queue: Its name in cloudq.
        native: Its name on the service.
        settings: How it is set up; `None`: it isn't there.
        dead: The same of its dead-letter queue, where that is a queue of its own.
        vocabulary: How its settings are called.
        needs: What the tasks ask of it, where they are known.
        capabilities: What cloudq takes it for, where a backend says so.
        target: The host that cloudq has its messages pushed to.
        possible: Whether the service can have a queue of that name at all.
    """

    cloud: Cloud
    queue: str
    native: str
    settings: QueueSettings | None
    dead: QueueSettings | None = None
    vocabulary: Vocabulary = LIVE
    needs: Needs | None = None
    capabilities: Capabilities | None = None
    target: str | None = None
    possible: bool = True

    @property
    def native_dead(self) -> str:
        """The name of its dead-letter queue on the service."""
        return dead_letter_queue(self.native)

    def found(self, fault: str, what: str, right: object = "") -> Finding:
        """A finding of this queue."""
        names = {"queue": self.queue, "name": self.native, "dead": self.native_dead, "right": str(right)}
        return Finding(fault=FAULTS[fault], where=WHERES[self.cloud], queue=self.queue, what=what, names=names)


def judge(looked: Looked) -> Iterator[Finding]:
    """What is wrong with a queue, or with its dead-letter queue."""
    if looked.needs is not None:
        for words in unfit(looked.cloud, looked.needs):
            yield looked.found("service-cannot", words)
    if not looked.possible:
        if looked.needs is None:
            yield looked.found("service-cannot", f"{looked.queue!r} can't be the name of a queue there")
        return
    there_is = looked.vocabulary.there_is
    if looked.settings is None:
        yield looked.found("queue-missing", f"{there_is} no queue {looked.native!r}")
    if looked.dead is None and looked.cloud is not Cloud.AZURE:
        yield looked.found("dead-letter-queue-missing", f"{there_is} no dead-letter queue {looked.native_dead!r}")
    if looked.settings is not None:
        yield from _BY_CLOUD[looked.cloud](looked, looked.settings)


# ── Amazon SQS ───────────────────────────────────────────────────────────────────────────────────────────


def _on_sqs(looked: Looked, queue: QueueSettings) -> Iterator[Finding]:
    name = looked.vocabulary.name
    ordered = is_ordered(looked.queue)
    if queue.ordered is not None and queue.ordered is not ordered:
        words = f"{name('fifo_queue')} is {_on_off(queue.ordered)}, and its name says {_on_off(ordered)}"
        yield looked.found("queue-order", words, str(ordered).lower())
    yield from _lease_of_sqs(looked, queue)
    yield from _redrive(looked, queue)
    if looked.dead is not None:
        yield from _dead_on_sqs(looked, queue, looked.dead)
    yield from _size(looked, queue, "its ", MAX_BYTES)
    for one in (queue, looked.dead):
        if one is not None and one.encrypted is False:
            of = "" if one is queue else "its dead-letter queue's "
            words = f"{of}{name('sqs_managed_sse_enabled')} is off, and no key of KMS is set"
            yield _of(looked, one).found("not-encrypted", words)
    if queue.delay:
        yield looked.found("queue-delays", f"{name('delay_seconds')} is {seconds(queue.delay)}")


def _lease_of_sqs(looked: Looked, queue: QueueSettings) -> Iterator[Finding]:
    if queue.lease is None:
        return
    name, shown = looked.vocabulary.name("visibility_timeout_seconds"), seconds(queue.lease)
    if looked.needs is not None and queue.lease < looked.needs.lease:
        least = seconds(looked.needs.lease)
        yield looked.found("lease-short", f"{name} is {shown}, and its tasks are leased for {least}", least)
    elif looked.needs is None and not queue.lease:
        yield looked.found("lease-short", f"{name} is 0: what Lambda is handed is handed over again at once", 120)


def _redrive(looked: Looked, queue: QueueSettings) -> Iterator[Finding]:
    name, least = looked.vocabulary.name("redrive_policy"), least_receives(looked.queue, looked.needs)
    to = queue.dead_letters_to
    if to is msgspec.UNSET:
        return
    if to is None:
        words = f"it has no {name}: a message that kills its worker goes round forever"
        yield looked.found("redrive-missing", words, least)
        return
    if is_ordered(str(to)) is not is_ordered(looked.queue):
        words = f"its {name} is to {to!r}, and a FIFO queue's dead letters go to a FIFO queue, others' to no such one"
        yield looked.found("dead-letter-queue-order", words, str(is_ordered(looked.queue)).lower())
    elif to != looked.native_dead:
        words = f"its {name} is to {to!r}, and cloudq looks in {looked.native_dead!r}"
        yield looked.found("dead-letters-elsewhere", words, least)
    if queue.max_deliveries is None or queue.max_deliveries < least:
        shown = "missing" if queue.max_deliveries is None else queue.max_deliveries
        words = f"maxReceiveCount is {shown}, and {least} is {_ENOUGH}"
        yield looked.found("deliveries-few", words, least)


def _dead_on_sqs(looked: Looked, queue: QueueSettings, dead: QueueSettings) -> Iterator[Finding]:
    name = looked.vocabulary.name
    ordered = is_ordered(looked.queue)
    if dead.ordered is not None and dead.ordered is not ordered:
        is_, says = _on_off(dead.ordered), _on_off(ordered)
        words = f"its dead-letter queue's {name('fifo_queue')} is {is_}, and the name says {says}"
        yield looked.found("dead-letter-queue-order", words, str(ordered).lower())
    if dead.dead_letters_to not in {None, msgspec.UNSET}:
        words = f"its dead-letter queue has a {name('redrive_policy')} itself, to {dead.dead_letters_to!r}"
        yield looked.found("dead-letter-queue-moves-on", words)
    if dead.dead_letters_from is not None and looked.native not in dead.dead_letters_from:
        allowed = ", ".join(map(repr, dead.dead_letters_from)) or "none"
        words = f"its dead-letter queue's {name('redrive_allow_policy')} lets in {allowed}"
        yield looked.found("dead-letters-refused", words)
    own, theirs = queue.retention, dead.retention
    # On a standard queue the time counts on from the first send, on a FIFO queue it begins anew.
    if own is not None and theirs is not None and (theirs < own or (theirs == own and not ordered)):
        setting = name("message_retention_seconds")
        words = f"its dead-letter queue's {setting} is {seconds(theirs)}, and its own {seconds(own)}: {_LOST}"
        yield looked.found("dead-letter-retention", words, seconds(RETENTION))
    if None not in {queue.max_message, dead.max_message}:
        yield from _size(looked, dead, "its dead-letter queue's ", queue.max_message or 0, _LOST)


# ── Google Cloud Tasks ───────────────────────────────────────────────────────────────────────────────────


def _on_cloud_tasks(looked: Looked, queue: QueueSettings) -> Iterator[Finding]:
    if queue.stopped is not None:
        yield looked.found("queue-stopped", f"it is {queue.stopped}: it pushes nothing")
    dead = looked.dead
    if dead is not None and dead.stopped is None:
        yield looked.found("dead-letter-queue-pushes", "its dead-letter queue isn't paused: it would push dead letters")
    for of, one in (("", queue), ("its dead-letter queue's ", dead)):
        if one is not None and one.max_deliveries is not None:
            words = f"{of}max_attempts is {one.max_deliveries}, not -1: then Cloud Tasks deletes a message"
            yield _of(looked, one).found("service-deletes", words)
        if one is not None and one.gives_up_after:
            words = f"{of}max_retry_duration is {_google(one.gives_up_after)}: after that Cloud Tasks deletes a message"
            yield _of(looked, one).found("service-deletes", words)
    if queue.max_backoff is not None and queue.max_backoff < SHORTEST_BACKOFF:
        words = f"max_backoff is {_google(queue.max_backoff)}: an outage of the worker uses up the messages' deliveries"
        least = _google(SHORTEST_BACKOFF)
        yield looked.found("backoff-short", f"{words}; {least} at least", _google(LONGEST_BACKOFF))
    if queue.max_concurrent in _ITS_OWN_CONCURRENT:
        words = f"max_concurrent_dispatches is {queue.max_concurrent}, the service's own default"
        yield looked.found("pushes-unbounded", f"{words}: set it to what all workers together run", _CONCURRENT)
    if queue.pushes_to is not None and queue.pushes_to != looked.target:
        words = f"its http_target has everything pushed to {queue.pushes_to!r}"
        yield looked.found("pushed-elsewhere", words if looked.target is None else f"{words}, not to {looked.target!r}")


def _of(looked: Looked, settings: QueueSettings) -> Looked:
    """The same, where what fixes it is done to one of the two."""
    return msgspec.structs.replace(looked, native=settings.name)


# ── Azure Service Bus ────────────────────────────────────────────────────────────────────────────────────


def _on_service_bus(looked: Looked, queue: QueueSettings) -> Iterator[Finding]:
    ordered, needs = is_ordered(looked.queue), looked.needs
    if queue.stopped is not None:
        yield looked.found("queue-stopped", f"its status is {queue.stopped}")
    if queue.ordered is not None and queue.ordered is not ordered:
        words = f"requires_session is {_on_off(queue.ordered)}, and its name says {_on_off(ordered)}"
        yield looked.found("queue-order", words, str(ordered).lower())
    if queue.lease is not None and needs is not None and queue.lease < timedelta(seconds=lock_seconds(needs)):
        lock = lock_seconds(needs)
        words = f"lock_duration is {_azure(queue.lease)}, and its tasks are leased for {lock} seconds"
        yield looked.found("lease-short", words, lock)
    least = (_DELIVERIES if needs is None else needs.deliveries) + 1
    if queue.max_deliveries is not None and queue.max_deliveries < least:
        words = f"max_delivery_count is {queue.max_deliveries}, and {least} is {_ENOUGH}"
        yield looked.found("deliveries-few", words, least)
    if queue.keeps_expired is False:
        yield looked.found("expired-are-lost", "dead_lettering_on_message_expiration is off: what expires is lost")
    if queue.forwards_to is not None:
        yield looked.found("messages-forwarded", f"forward_to is {queue.forwards_to!r}")
    if queue.dead_letters_to not in {None, msgspec.UNSET}:
        words = f"forward_dead_lettered_messages_to is {queue.dead_letters_to!r}, and cloudq looks in its own"
        yield looked.found("dead-letters-elsewhere", words)
    if queue.deleted_when_idle is not None:
        yield looked.found("queue-deletes-itself", f"auto_delete_on_idle is {_azure(queue.deleted_when_idle)}")
    if looked.capabilities is not None:
        yield from _size(looked, queue, "it takes ", looked.capabilities.max_body)
        yield from _ids(looked, queue, looked.capabilities.deduplication)


def _ids(looked: Looked, queue: QueueSettings, window: timedelta | None) -> Iterator[Finding]:
    if window is None or queue.remembers is None or queue.remembers >= window:
        return
    known = f"knows repeated ids for {_azure(queue.remembers)}" if queue.remembers else "detects no duplicates"
    yield looked.found("ids-not-remembered", f"it {known}, and dedup_window is {seconds(window)}", seconds(window))


# ── shared ───────────────────────────────────────────────────────────────────────────────────────────────


def _size(looked: Looked, queue: QueueSettings, of: str, least: int, so: str | None = None) -> Iterator[Finding]:
    """A queue that takes less than `least` bytes."""
    if queue.max_message is None or queue.max_message >= least:
        return
    aws = looked.cloud is Cloud.AWS
    setting = looked.vocabulary.name("max_message_size")
    size = f"{setting} is {queue.max_message}" if aws else f"messages of {queue.max_message} bytes"
    if so is None:
        words, right = f"{of}{size}, and cloudq sends up to {least}", least if aws else queue.max_message
    else:
        words, right = f"{of}{size}, and its own {least}: {so}", least
    yield _of(looked, queue).found("messages-small", words, right)


def _on_off(value: bool) -> str:
    return "on" if value else "off"


def _google(span: timedelta) -> str:
    return f"{span.total_seconds():g}s"


def _azure(span: timedelta) -> str:
    """As the service writes a duration (ISO 8601)."""
    minutes, rest = divmod(seconds(span), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    time = "".join(f"{count}{unit}" for count, unit in ((hours, "H"), (minutes, "M"), (rest, "S")) if count)
    day = f"{days}D" if days else ""
    return f"P{day}T{time}" if time else f"P{day}" if day else "PT0S"


_BY_CLOUD: Final = {Cloud.AWS: _on_sqs, Cloud.GOOGLE: _on_cloud_tasks, Cloud.AZURE: _on_service_bus}
