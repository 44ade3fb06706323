"""The options of a send and of a task: what they are, and what is refused."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal, TypedDict

from cloudq.core.policy import RetryPolicy
from cloudq.core.spans import shown
from cloudq.errors import OptionError, nearest
from cloudq.flow.breakers import Breaker
from cloudq.flow.rates import Rate
from cloudq.flow.seats import AtOnce
from cloudq.queues.names import check_queue
from cloudq.tasks.expiry_options import check_expires
from cloudq.tasks.holding import check_on_commit
from cloudq.tasks.keys import Key, check_key, is_utf8
from cloudq.tasks.priorities import check_priority
from cloudq.tasks.run_options import check_noting


class SendOptions(TypedDict, total=False):
    """How one message is sent.

    Keys:
        queue: Instead of the task's first queue; another one that its declaration names (see `strict_queues`).
        priority: How urgent it is: one of the names of the task's `priorities`. Excludes `queue`.
        delay: Not before this long from now. Excludes `at`. A `timedelta`: bare numbers are refused.
        at: Not before this moment, which needs a UTC offset. Excludes `delay`.
        expires: It isn't begun any more from then on, and is acknowledged unrun as `expired`; what has begun goes on. A
            `timedelta` counts from when it may run, a `datetime` needs a UTC offset. Default: the task's `expires`.
        idempotency_key: The same work has the same key; up to 512 characters.
        ordering_key: Messages of one key run one after the other. Needs a queue whose name ends in `.fifo`.
        fairness_key: Whose message it is: a tenant's, say. Where the backend shares a queue by it, much of one key
            keeps no other waiting; elsewhere it has no effect, which a warning says once.
        headers: Texts by name that travel with the message.
        track: Whether the store notes from the send on how far it has come; default: the task's `track`. Needs a store.
        debounce: It runs that long from now, and only if no other message of its `waiting_key` is sent so before: then
            that one has its place. What has begun to run isn't held up. Needs a store; excludes `delay`, `at`,
            `idempotency_key` and `unique_while_waiting`.
        unique_while_waiting: Nothing is stored if a message of its `waiting_key` waits for its first run: `duplicate`
            is true then, and `id` the other's. One that is purged counts as waiting for an hour. Needs a store.
        waiting_key: What is the same for messages of a task of which one is to wait; default: the payload.
        on_commit: Whether the message leaves with the transaction that is open here, of a task or of Django's
            `atomic()`; default: it does. `False`: it is sent at once, whatever becomes of the transaction.
    """

    queue: str
    priority: str
    delay: timedelta
    at: datetime
    expires: timedelta | datetime
    idempotency_key: str
    ordering_key: str
    fairness_key: str
    headers: Mapping[str, str]
    track: bool
    debounce: timedelta
    unique_while_waiting: bool
    waiting_key: str
    on_commit: bool


class TaskOptions(TypedDict, total=False):
    """What is fixed for all messages of a task.

    Keys:
        queue: Where its messages go; default: the app's `default_queue`.
        queues: Several in its place: messages go to the first unless a send names another one of them. A worker serves
            all of them.
        priorities: Queues by names, the most urgent first, in place of `queue`: a send names one as its `priority`.
            A worker serves all of them, each twice as often as the next, or strictly (`--strict`).
        priority: The one of messages whose send names none; default: `"normal"`.
        retry: Its own policy, instead of the app's.
        lease: How long a worker may be silent before the message is handed to another; leases are renewed while the
            task runs, so this needn't be longer than the task.
        time_limit: How long one run may take.
        idempotency_key: A template or a function for the key of each message. A worker claims it in the app's store
            before the task runs, so that the same work is done once: see `App(store=)`.
        unique_until: What a key's work counts as done by. `"success"`, the default: by its end; a worker that dies
            gives the key back, and the task runs again. `"start"`: by its start; it is never started again unless
            its worker saw it fail. What became of it otherwise a person has to find out: its message waits for a day,
            then it is dead-lettered.
        idempotency_ignore: Parameters that two messages of one key may differ in. Another difference is a mistake: the
            second message is dead-lettered.
        on_store_error: What becomes of a message whose key can't be claimed, as the store is down. `"wait"`, the
            default: it waits, without using an attempt. `"run"`: it runs, perhaps a second time; but what was sent with
            `unique_while_waiting` waits, since other sends count on its run.
        ordering_key: A template or a function for the ordering key of each message.
        fairness_key: A template or a function for the fairness key of each message.
        aliases: Earlier names, so that messages in flight stay valid after a rename.
        keep_result: For how long the store keeps what the task returns, from its end on; default: not at all. What it
            returns has to travel as JSON, by the function's annotation. Needs a store.
        track: Whether the store notes of each message from its send on how far it has come. Needs a store, at senders
            too.
        rate: How fast its messages are started: `"50/s"`, `"100/m"`, `"10/h"`, by all workers of the app together; see
            `cloudq.Rate` for a rate of each worker, or of each value of a key. What waits for it uses no attempt.
            Needs a store, but for one of each worker.
        at_once: How many of its messages run at once, in all workers of the app together; see `cloudq.AtOnce` for each
            worker, or each value of a key. Needs a store, but for that of each worker.
        breaker: After how many failures in a row a worker starts nothing of it for a while: see `cloudq.Breaker`.
        expires: How long after its time (its send, or when its `delay` or `at` is over) a message isn't begun any more;
            default: it never expires.
        on_expired: What becomes of one that wasn't begun in time. `"ack"`, the default: it is acknowledged, counted and
            noted as `expired`. `"dead_letter"`: it goes to the dead-letter queue.
        propagate_expiry: Whether what the task sends expires no later than the message that it runs for; default: the
            app's `propagate_expiry`.
    """

    queue: str
    queues: Sequence[str]
    priorities: Mapping[str, str]
    priority: str
    retry: RetryPolicy
    lease: timedelta
    time_limit: timedelta
    idempotency_key: Key
    unique_until: Literal["success", "start"]
    idempotency_ignore: Collection[str]
    on_store_error: Literal["wait", "run"]
    ordering_key: Key
    fairness_key: Key
    aliases: Sequence[str]
    keep_result: timedelta
    track: bool
    rate: str | Rate
    at_once: int | AtOnce
    breaker: Breaker
    expires: timedelta
    on_expired: Literal["ack", "dead_letter"]
    propagate_expiry: bool


def check_send_options(options: SendOptions, parameters: Collection[str] = ()) -> None:
    """Refuses options that don't mean anything, before anything is stored.

    Args:
        options: The options.
        parameters: Those of the task, if it is known: then a misspelt option isn't taken for one of the payload's.

    Raises:
        OptionError: Saying which and why.
    """
    known = SendOptions.__annotations__
    for name in options:
        if name not in known and name in parameters:
            raise OptionError(
                f"there is no send option {name!r}, but the task has a parameter of that name",
                hint=f"task.send({name}=...), or cloudq.send(task, {{{name!r}: ...}})",
            )
        if name not in known:
            raise OptionError(
                f"there is no send option {name!r}: {nearest(name, known)}",
                hint="the task's own values are its payload",
            )
    if "delay" in options and "at" in options:
        raise OptionError("delay and at exclude each other", hint="give one of them")
    delay, at = options.get("delay"), options.get("at")
    if delay is not None and not isinstance(delay, timedelta):
        raise OptionError(f"delay is a timedelta, not {delay!r}", hint="delay=timedelta(seconds=30)")
    if delay is not None and delay < timedelta(0):
        raise OptionError(f"delay is {shown(delay)}: it can't be negative", hint="leave it out to send at once")
    if at is not None and (not isinstance(at, datetime) or at.utcoffset() is None):
        raise OptionError(
            f"at is a datetime with a UTC offset, not {at!r}", hint="at=datetime(..., tzinfo=timezone.utc)"
        )
    check_expires(options)
    check_priority(options)
    check_noting(options)
    check_on_commit(options)
    for name in ("idempotency_key", "ordering_key", "fairness_key", "waiting_key"):
        if name in options:
            check_key(name, options[name])  # type: ignore[literal-required]  # one of four names of the TypedDict
    if "queue" in options:
        check_queue(options["queue"])
    headers = options.get("headers", {})
    if not isinstance(headers, Mapping) or not all(
        isinstance(n, str) and isinstance(v, str) for n, v in headers.items()
    ):
        raise OptionError("headers are texts by name", hint='headers={"tenant": "a"}')
    if any(not is_utf8(text) for pair in headers.items() for text in pair):
        raise OptionError("headers hold a lone surrogate, which can't be encoded", hint="leave it out, or escape it")
