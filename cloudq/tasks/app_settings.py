"""The settings of an app: what they are, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, TypedDict

from cloudq.core.middleware import Middleware
from cloudq.core.middleware_check import check_middleware
from cloudq.core.policy import RetryPolicy, policy_for
from cloudq.core.redaction import Redact
from cloudq.core.signature_check import SigningMode
from cloudq.core.signing_keys import EXAMPLE
from cloudq.core.spans import shown
from cloudq.core.store_url import EXAMPLE as STORE_EXAMPLE
from cloudq.core.url import DEFAULT_URL
from cloudq.errors import ConfigurationError, kind_of, nearest
from cloudq.flow.rates import Rate
from cloudq.queues.urls import CLAIM_CHECK_EXAMPLE
from cloudq.tasks.context import Context
from cloudq.tasks.flow_options import check_queue_rates

# What is sent now may take a moment to be looked at, and clocks differ: so a longest delay isn't shorter than a minute.
_SPANS = (
    ("unknown_task_patience", timedelta(0), "timedelta(hours=1)"),
    ("snooze_patience", timedelta(0), "timedelta(days=1)"),
    ("longest_delay", timedelta(minutes=1), "timedelta(days=400)"),
)


class AppSettings(TypedDict, total=False):
    """An app's settings besides its URL; `None` for those that were left out.

    Keys:
        imports: Modules that declare tasks of the app; a worker imports them at start.
        retry: The policy of all tasks that have none of their own.
        middleware: Around every task, the first outermost.
        default_queue: The queue of all tasks that have none of their own; `default` if it isn't set.
        strict_queues: Which task may come from which queue. `None` (left out): a send to a queue that the task's
            declaration doesn't name is refused. `True`: and a message that comes from such a queue is dead-lettered.
            `False`: neither.
        signing: What a worker does about the signatures of messages: `"off"` looks at none; `"warn"` runs all and logs
            what isn't signed with one of the keys; `"require"` dead-letters that. Default: `CLOUDQ_SIGNING`, else off.
        signing_keys: The keys, `"ID:HEXADECIMAL"`, several with commas between them: what is sent is signed with the
            first, and each of them verifies. 32 to 256 bytes each. Default: `CLOUDQ_SIGNING_KEYS`, else none.
        claim_check: Where payloads go that are too large for their queue: any URL that fsspec knows, e.g.
            `s3://bucket/prefix`; default: `CLOUDQ_CLAIM_CHECK`, else such messages are refused. Needs
            `cloudq[claimcheck]`.
        store: Where idempotency keys are claimed: `postgresql://...`, `mysql://...`, `dynamodb://TABLE`, `redis://...`,
            `sqlite:///FILE`; or `none`, which leaves keys to what the backend remembers of its messages. Default:
            `CLOUDQ_STORE_URL`, else a store beside the backend where that is a file or this process's memory. A worker
            with neither refuses tasks that declare a key.
        convert_untyped: Whether a value for a parameter that isn't annotated may arrive as JSON's form of it (a date as
            a text, a tuple as a list). By default such a send is refused.
        unknown_task_patience: For how long a message whose task isn't declared here goes back to its queue, for a
            program that knows it, before it is dead-lettered; default: an hour. `timedelta(0)`: at once.
        snooze_patience: For how long a message may wait for the same thing that isn't its fault (the store of
            idempotency keys, another delivery's claim, what a middleware snoozes it for), before it is dead-lettered;
            default: a day. `timedelta(0)`: not at all.
        longest_delay: How far away a message's time may be, at least a minute; default: 400 days. A send for later is
            refused; a message from elsewhere that is due later is dead-lettered.
        propagate_expiry: Whether what a task sends expires no later than the message that it runs for: an inherited
            deadline. Tasks may say otherwise. Default: no.
        redact: Takes secrets out of the texts of errors that dead letters, retries and a worker's log lines keep: a
            function from text to text. Default: `cloudq.mask_secrets`, which it may call itself. What it raises is
            no secret's end: the text is left out.
        queue_rates: How fast messages of a queue are started, whatever their tasks, by its name: `{"mail": "50/s"}`, by
            all workers of the app together; or a `cloudq.Rate` for each worker. See the task option `rate`.
        outbox_namespace: Keeps the messages of apps apart that share a database with an outbox, for the app that sends
            and the relay that publishes alike; at most 128 characters. Empty if it isn't set.
    """

    imports: Sequence[str] | None
    retry: RetryPolicy | None
    middleware: Sequence[Middleware[Context]] | None
    default_queue: str | None
    strict_queues: bool | None
    signing: SigningMode | None
    signing_keys: str | None
    claim_check: str | None
    store: str | None
    convert_untyped: bool | None
    unknown_task_patience: timedelta | None
    snooze_patience: timedelta | None
    longest_delay: timedelta | None
    propagate_expiry: bool | None
    redact: Redact | None
    queue_rates: Mapping[str, str | Rate] | None
    outbox_namespace: str | None


def checked_app_settings(url: object, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those that were given. Refuses what isn't of its type; `None` is what was left out.

    Raises:
        ConfigurationError: One of them isn't, or there is no such setting.
    """
    for name in settings:
        if name not in AppSettings.__annotations__:
            raise ConfigurationError(
                f"an App has no setting {name!r}", hint=nearest(name, ["url", *AppSettings.__annotations__])
            )
    imports, retry, middleware = settings.get("imports"), settings.get("retry"), settings.get("middleware")
    if isinstance(imports, str):
        raise ConfigurationError("imports is a list of modules, not a text", hint=f"imports=[{imports!r}]")
    if (keys := settings.get("signing_keys")) is not None and not isinstance(keys, str):
        raise ConfigurationError(f"signing_keys is a text, not {kind_of(keys)}", hint=EXAMPLE)
    texts = (
        ("url", url, DEFAULT_URL),
        ("claim_check", settings.get("claim_check"), CLAIM_CHECK_EXAMPLE),
        ("store", settings.get("store"), STORE_EXAMPLE),
    )
    for name, value, example in texts:
        if value is not None and not isinstance(value, str):
            raise ConfigurationError(f"{name} is a text, not {kind_of(value)}", hint=f"e.g. {example}")
    if retry is not None and not isinstance(retry, RetryPolicy):
        raise ConfigurationError(f"retry is a RetryPolicy, not {retry!r}", hint=f"retry={policy_for(retry)}")
    for name in ("convert_untyped", "strict_queues", "propagate_expiry"):
        switch = settings.get(name)
        if switch is not None and not isinstance(switch, bool):
            raise ConfigurationError(f"{name} is True or False, not {switch!r}", hint=f"{name}=True")
    _check_spans(settings)
    _check_namespace(settings.get("outbox_namespace"))
    check_queue_rates(settings.get("queue_rates"))
    redact = settings.get("redact")
    if redact is not None and not callable(redact):
        raise ConfigurationError(f"redact is a function, not {kind_of(redact)}", hint="redact=cloudq.mask_secrets")
    if middleware is not None:
        check_middleware(middleware)
    return {name: value for name, value in settings.items() if value is not None}


def _check_namespace(namespace: object) -> None:
    if namespace is None:
        return
    from cloudq.outbox.schema import LONGEST_NAMESPACE, is_namespace  # few programs have an outbox

    if not is_namespace(namespace):
        raise ConfigurationError(
            f"outbox_namespace is a text of at most {LONGEST_NAMESPACE} characters without spaces at its ends",
            hint='outbox_namespace="shop"',
        )


def _check_spans(settings: Mapping[str, Any]) -> None:
    for name, least, example in _SPANS:
        span = settings.get(name)
        if span is not None and (not isinstance(span, timedelta) or span < least):
            bound = shown(least) if least else "0"
            raise ConfigurationError(f"{name} is a timedelta of {bound} or more, not {span!r}", hint=example)
