"""What of a queue or a task the service takes, and what it makes of what is left unspecified.

The wording follows recorded answers of the service where there are any (see `problems`); those of `maxBackoff`,
`maxRetryDuration`, `httpTarget`, headers and bodies are modelled on them.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from math import ceil, isfinite
from typing import Any, Final

from cloudq.emulators.cloud_tasks.backoff import specified
from cloudq.emulators.cloud_tasks.messages import (
    ZERO,
    TaskPb,
    length,
    moment,
    set_length,
    set_moment,
)
from cloudq.emulators.cloud_tasks.problems import Problem, invalid, too_far
from cloudq.emulators.cloud_tasks.settings import Settings
from cloudq.emulators.cloud_tasks.stored import StoredTask

# The figures are those of the docstrings of google-cloud-tasks 2.26.
MOST_PER_SECOND: Final = 500.0
MOST_CONCURRENT: Final = 5_000
DEFAULT_CONCURRENT: Final = 1_000
MIN_DEADLINE: Final = timedelta(seconds=15)
MAX_DEADLINE: Final = timedelta(minutes=30)
DEFAULT_DEADLINE: Final = timedelta(minutes=10)
LEAST_RELAXED_DEADLINE: Final = timedelta(milliseconds=1)
FURTHEST: Final = timedelta(hours=720)
LONGEST_URL: Final = 2_083
MOST_HEADERS: Final = 80 * 1024
USER_AGENT: Final = "Google-Cloud-Tasks"
POST: Final = 1
METHODS: Final = {1: "POST", 2: "GET", 3: "HEAD", 4: "PUT", 5: "DELETE", 6: "PATCH", 7: "OPTIONS"}
WITH_BODY: Final = frozenset({1, 4, 6})
_MILLISECOND: Final = timedelta(milliseconds=1)
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_UNSENDABLE: Final = re.compile(r"[\r\n\0]")


def check_queue(pb: Any, *, relaxed: bool) -> None:
    """Raises what the service answers to such settings."""
    limits = pb.rate_limits
    rate = limits.max_dispatches_per_second
    if not rate >= 0:
        raise invalid("RateLimits.maxDispatchesPerSecond cannot be negative.")
    if not isfinite(rate) or (rate > MOST_PER_SECOND and not relaxed):
        raise invalid("RateLimits.maxDispatchesPerSecond must be less than or equal to 500.")
    if limits.max_concurrent_dispatches < 0:
        raise invalid("RateLimits.maxConcurrentDispatches cannot be negative.")
    if limits.max_concurrent_dispatches > MOST_CONCURRENT:
        raise invalid("RateLimits.maxConcurrentDispatches must be less than or equal to 5000.")
    check_retries(pb.retry_config)
    if pb.HasField("http_target"):
        _check_target(pb.http_target)


def check_retries(config: Any) -> None:
    """The same for a retry config, be it a queue's or a task's."""
    if config.max_attempts < -1:
        raise invalid("RetryConfig.maxAttempts must be greater or equal to -1.")
    if config.max_doublings < 0:
        raise invalid("RetryConfig.maxDoublings cannot be negative.")
    least, most = length(config.min_backoff), length(config.max_backoff)
    if least < ZERO:
        raise invalid("RetryConfig.minBackoff cannot be negative.")
    if most < ZERO:
        raise invalid("RetryConfig.maxBackoff cannot be negative.")
    if most > ZERO and least > most:
        raise invalid("RetryConfig.minBackoff must be less than or equal to RetryConfig.maxBackoff.")
    if length(config.max_retry_duration) < ZERO:
        raise invalid("RetryConfig.maxRetryDuration cannot be negative.")


def complete_queue(pb: Any, *, relaxed: bool) -> None:
    """Writes what the service picks into what is unspecified, and cuts what it cuts."""
    limits = pb.rate_limits
    limits.max_dispatches_per_second = limits.max_dispatches_per_second or MOST_PER_SECOND
    limits.max_concurrent_dispatches = limits.max_concurrent_dispatches or DEFAULT_CONCURRENT
    # "It is generally at least equal to max_dispatches_per_second."
    limits.max_burst_size = min(max(1, ceil(limits.max_dispatches_per_second)), 2**31 - 1)
    retries = specified(pb.retry_config, relaxed=relaxed)
    config = pb.retry_config
    config.max_attempts = retries.max_attempts
    config.max_doublings = retries.max_doublings
    set_length(config.min_backoff, retries.min_backoff)
    set_length(config.max_backoff, retries.max_backoff)
    if config.HasField("max_retry_duration"):
        set_length(config.max_retry_duration, retries.max_duration)


def stored_task(
    pb: Any, *, name: str, named: bool, queue: Any, now: datetime, settings: Settings, place: int
) -> StoredTask:
    """A new task as it is kept, or what the service answers to it.

    Args:
        pb: The task of the request; it isn't changed.
        name: Its name, or the one that was chosen for it.
        named: Whether the client named it.
        queue: Its queue's message.
        now: The present moment.
        settings: How strict to be.
        place: Its place in lists.
    """
    kind = pb.WhichOneof("message_type")
    if kind == "app_engine_http_request":
        raise Problem("UNIMPLEMENTED", "App Engine tasks are not emulated: use http_request.")
    if kind is None:
        raise invalid("Task.http_request is required.")
    _check_request(pb.http_request, queue)
    if pb.HasField("retry_config"):
        check_retries(pb.retry_config)
    deadline = _deadline(pb, relaxed=settings.relaxed)
    due = moment(pb.schedule_time) if pb.HasField("schedule_time") else now
    if due > now + FURTHEST:
        raise too_far(due)
    due = max(due, now)
    stored = TaskPb()
    stored.CopyFrom(pb)
    for output_only in ("first_attempt", "last_attempt", "dispatch_count", "response_count", "view"):
        stored.ClearField(output_only)
    stored.name = name
    request = stored.http_request
    request.http_method = request.http_method or POST
    for key in [key for key in request.headers if key.lower() == "user-agent"]:
        del request.headers[key]
    request.headers["User-Agent"] = USER_AGENT
    set_length(stored.dispatch_deadline, deadline)
    set_moment(stored.schedule_time, due)
    set_moment(stored.create_time, now.replace(microsecond=0))
    if stored.ByteSize() > settings.max_task_size:
        raise invalid("Task size too large")
    body = request.body
    request.ClearField("body")
    return StoredTask(pb=stored, body=body, created=now, due=due, deadline=deadline, random=not named, place=place)


def _deadline(pb: Any, *, relaxed: bool) -> timedelta:
    if not pb.HasField("dispatch_deadline"):
        return DEFAULT_DEADLINE
    exact = length(pb.dispatch_deadline)
    least = LEAST_RELAXED_DEADLINE if relaxed else MIN_DEADLINE
    if not least <= exact <= MAX_DEADLINE:
        raise invalid("Task.dispatchDeadline must be between [15s, 30m].")
    return exact // _MILLISECOND * _MILLISECOND


def _check_request(request: Any, queue: Any) -> None:
    if not request.url:
        if not queue.http_target.uri_override.host:
            raise invalid("HttpRequest.url is required.")
    elif not request.url.lower().startswith(("http://", "https://")):
        raise invalid("HttpTarget.url must start with 'http://' or 'https://'.")
    elif len(request.url) > LONGEST_URL:
        raise invalid("HttpRequest.url must be at most 2083 characters long.")
    if request.http_method and request.http_method not in METHODS:
        raise invalid("Invalid resource field value in the request.")
    if request.body and (request.http_method or POST) not in WITH_BODY:
        raise invalid("HttpRequest.body is only allowed if the HTTP method is POST, PUT or PATCH.")
    _check_headers(request.headers.items())
    _check_token(request, "HttpRequest")


def _check_headers(headers: Any) -> None:
    size = 0
    for key, value in headers:
        if not _TOKEN.fullmatch(key) or _UNSENDABLE.search(value):
            raise invalid(f"The header {key!r} is not one that HTTP can carry.")
        size += len(key.encode()) + len(value.encode())
    if size >= MOST_HEADERS:
        raise invalid("The size of the headers must be less than 80KB.")


def _check_token(holder: Any, where: str) -> None:
    kind = holder.WhichOneof("authorization_header")
    if kind is not None and not getattr(holder, kind).service_account_email:
        raise invalid(f"{where}.{kind}.service_account_email is required.")


def _check_target(target: Any) -> None:
    override = target.uri_override
    if override.HasField("host") and not override.host:
        raise invalid("HttpTarget.uri_override.host cannot be an empty string.")
    if override.HasField("port") and not 0 <= override.port < 65_536:
        raise invalid("HttpTarget.uri_override.port must be a positive integer.")
    if target.http_method and target.http_method not in METHODS:
        raise invalid("Invalid resource field value in the request.")
    _check_headers((item.header.key, item.header.value) for item in target.header_overrides)
    _check_token(target, "HttpTarget")
    if target.HasField("oidc_token") and not target.oidc_token.audience:
        raise invalid("HttpTarget.oidc_token.audience is required.")
    if target.HasField("oauth_token") and not target.oauth_token.scope:
        raise invalid("HttpTarget.oauth_token.scope is required.")
