"""The options of `@app.task` and the attributes of `celery.Task`: what becomes of each."""

from __future__ import annotations

from typing import Final

from cloudq.compat.celery.verdicts import Table, changes, each, maps, refused

_ALWAYS_LATE: Final = "a message is acknowledged once its task has ended, always: leave it out"
_ALWAYS_AGAIN: Final = "a message whose worker died is handed over again, always: leave it out"
_DEAD: Final = "what fails for good goes to the dead-letter queue: leave it out"
_NO_EXCHANGES: Final = "there are no exchanges: name a queue, queue='mail'"

TASK_OPTIONS: Final[Table] = {
    "name": maps("the name that messages carry"),
    "bind": maps("self.request has what is known of the message: see REQUEST_FIELDS"),
    "base": maps("a subclass of cloudq.compat.celery.Task, with its hooks"),
    "max_retries": changes(
        "runs and not retries are counted where the backend counts only deliveries; None: 1,000 runs at most"
    ),
    "default_retry_delay": maps("the backend keeps the time, no worker does"),
    "autoretry_for": maps("as the task's own self.retry(exc=...)"),
    "dont_autoretry_for": maps("as without autoretry_for"),
    "retry_kwargs": maps("those of self.retry"),
    "retry_backoff": maps("the same seconds"),
    "retry_backoff_max": maps("the same seconds"),
    "retry_jitter": maps("the same: from 0 to the back-off"),
    "acks_late": refused(_ALWAYS_LATE, True),
    "reject_on_worker_lost": refused(_ALWAYS_AGAIN, True),
    "retry_on_worker_lost": refused(_ALWAYS_AGAIN, True),
    **each(refused(_DEAD, True), "acks_on_failure_or_timeout", "acks_on_failure", "acks_on_timeout"),
    "time_limit": changes(
        "the run is ended, and not tried again; `with` and `finally` of the task are run. In a thread it ends "
        "between two steps of Python code; with --processes a process that runs on is killed five seconds later"
    ),
    "soft_time_limit": changes(
        "SoftTimeLimitExceeded is raised in the task, once. Without time_limit it is the last one: with --processes a "
        "process that runs on is killed five seconds later"
    ),
    "rate_limit": maps("cloudq.Rate(..., per_worker=True); a bare number is one a second, 0 is no limit"),
    "ignore_result": maps("no keep_result"),
    "track_started": maps("track, where a store is set"),
    "store_errors_even_if_ignored": refused("declare the task without ignore_result", False),
    "store_eager_result": refused("what ran at once knows its result itself: leave it out", False),
    "expires": changes("a message is not begun any more after that; it is acknowledged as expired, and not as revoked"),
    "priority": changes("one of the setting cloudq_priorities: each is a queue of its own"),
    "queue": maps("the queue of that name"),
    "routing_key": refused(_NO_EXCHANGES),
    "exchange": refused(_NO_EXCHANGES),
    "exchange_type": refused(_NO_EXCHANGES),
    "serializer": refused("messages are JSON: annotate what isn't, or convert it", "json"),
    "compression": refused("App(claim_check=...) takes what is too large for a queue"),
    "delivery_mode": refused("a message is stored before the send returns, always", 2, "persistent"),
    **each(refused("AMQP's own: leave it out"), "immediate", "mandatory"),
    "typing": refused("arguments are checked against the signature, always: leave it out", True),
    "throws": changes("an expected error is dead-lettered as any other; its log line is as any other's"),
    "trail": refused("no list of children is kept: leave it out", True),
    "send_events": refused("telemetry and `cloudq top` stand in the place of events: leave it out", True),
    "backend": refused("one store an app: the setting result_backend, or CLOUDQ_STORE_URL"),
    "resultrepr_maxsize": changes("no result is logged"),
    "abstract": maps("a base without a name"),
    "shared": maps("as shared_task"),
    "lazy": refused("tasks are declared when the app is first used: leave it out", True),
    "pydantic": refused("annotated models are read and written without it: leave it out", False),
    **each(refused("leave it out: see pydantic"), "pydantic_strict", "pydantic_context", "pydantic_dump_kwargs"),
    "Strategy": refused("a worker's own: middleware stands in its place"),
    "Request": refused("a worker's own: middleware stands in its place"),
    "from_config": refused("what settings give a task is in the table of settings"),
    "request_stack": refused("self.request is what is known of the run"),
}
"""By its name. Other names are a program's own attributes, as with Celery."""

TASK_METHODS: Final[Table] = {
    **each(maps("the same"), "delay", "apply_async", "apply", "retry", "run", "AsyncResult", "app", "request", "name"),
    **each(maps("of one task"), "signature", "subtask", "s", "si"),
    **each(maps("called, what they raise is logged"), "before_start", "on_success", "on_failure", "on_retry"),
    **each(maps("for tests that call run"), "push_request", "pop_request"),
    "after_return": maps("called, what it raises is logged"),
    **each(maps("the exception of that name"), "MaxRetriesExceededError", "OperationalError"),
    **each(maps("after the commit of Django's transaction"), "delay_on_commit", "apply_async_on_commit"),
    **each(
        refused("many calls: app.cloudq.send_many([...]); what follows on another is sent by it"),
        *("chunks", "map", "starmap", "replace", "add_to_chord", "on_replace"),
    ),
    "update_state": refused("cloudq.current().progress(done, total)"),
    **each(refused("telemetry stands in the place of events"), "send_event", "add_trail"),
    **each(
        refused("inside of Celery's own"),
        *("bind", "on_bound", "annotate", "add_around", "start_strategy", "shadow_name"),
        *("signature_from_request", "subtask_from_request"),
    ),
}
"""What else a task has, by its name."""
