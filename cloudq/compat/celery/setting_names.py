"""Celery's settings by their lower-case names: what becomes of each."""

from __future__ import annotations

from typing import Final

from cloudq.compat.celery.task_options import TASK_OPTIONS
from cloudq.compat.celery.verdicts import Table, changes, each, maps, refused

_WORKER: Final = "`cloudq worker` has options of its own (--concurrency, --processes, ...): delete it"
_BEAT: Final = "a scheduler of the platform's, or cron with `cloudq send`, sends on time: delete it"
_BROKER: Final = "the backend's URL says it, as CLOUDQ_URL or broker_url: delete it"
_RESULTS: Final = "the store's URL says it, as CLOUDQ_STORE_URL or result_backend: delete it"
_EVENTS: Final = "telemetry and `cloudq top` stand in the place of events: delete it"
_CONTROL: Final = "workers are asked nothing over the broker: delete it"
_EXCHANGES: Final = "there are no exchanges, and queues need no declaration: delete it"
_SECURITY: Final = "App(signing=..., signing_keys=...) signs messages: delete it"

SETTINGS: Final[Table] = {
    # ── what a program is made of ──
    "imports": maps("modules that are imported before tasks are looked for"),
    "include": maps("as imports"),
    "timezone": maps("that of an eta without one"),
    "enable_utc": refused("times are kept in UTC, always: delete it", True),
    "accept_content": refused("messages are JSON: delete it", ("json",), ("application/json",)),
    "result_accept_content": refused("results are JSON: delete it", ("json",), ("application/json",)),
    # ── where messages and results are ──
    "broker_url": changes("a URL of cloudq's (sqs://REGION, sqlite:///FILE, ...); others are refused by their scheme"),
    "result_backend": changes("a store's URL (redis://, postgresql://, dynamodb://, sqlite://); others are refused"),
    "result_expires": maps("keep_result"),
    "result_serializer": refused("results are JSON: delete it", "json"),
    "result_extended": refused("app.cloudq.result(id) has the task's name: delete it", False),
    "result_persistent": refused(_RESULTS, True),
    "result_compression": refused(_RESULTS),
    **each(refused(_RESULTS), "result_cache_max", "result_exchange", "result_exchange_type", "result_chord_expires"),
    **each(refused(_RESULTS), "result_failure_expires", "result_backend_transport_options"),
    **each(refused(_RESULTS), "result_chord_retry_interval", "result_chord_join_timeout"),
    **each(refused(_RESULTS), "result_backend_max_sleep_between_retries_ms", "result_backend_max_retries"),
    **each(refused(_RESULTS), "result_backend_base_sleep_between_retries_ms", "result_backend_always_retry"),
    # ── what a task has unless it says otherwise ──
    "task_default_queue": maps("default_queue; `celery` if it isn't set, as with Celery"),
    "task_routes": changes("tables from names and patterns to queues; functions and exchanges are refused"),
    "task_always_eager": maps("a send runs the task at once"),
    "task_eager_propagates": maps("and raises what it raises"),
    "task_store_eager_result": refused("what ran at once knows its result itself: delete it", False),
    "task_ignore_result": maps("no keep_result"),
    "task_track_started": TASK_OPTIONS["track_started"],
    "task_time_limit": TASK_OPTIONS["time_limit"],
    "task_soft_time_limit": TASK_OPTIONS["soft_time_limit"],
    "task_default_rate_limit": TASK_OPTIONS["rate_limit"],
    "task_default_priority": TASK_OPTIONS["priority"],
    "task_acks_late": TASK_OPTIONS["acks_late"],
    "task_reject_on_worker_lost": TASK_OPTIONS["reject_on_worker_lost"],
    "task_retry_on_worker_lost": TASK_OPTIONS["retry_on_worker_lost"],
    "task_acks_on_failure_or_timeout": TASK_OPTIONS["acks_on_failure_or_timeout"],
    "task_acks_on_failure": TASK_OPTIONS["acks_on_failure"],
    "task_acks_on_timeout": TASK_OPTIONS["acks_on_timeout"],
    "task_store_errors_even_if_ignored": TASK_OPTIONS["store_errors_even_if_ignored"],
    "task_serializer": TASK_OPTIONS["serializer"],
    "task_compression": TASK_OPTIONS["compression"],
    "task_default_delivery_mode": TASK_OPTIONS["delivery_mode"],
    "task_annotations": refused("put the options on the tasks: delete it"),
    "task_protocol": refused("messages are CloudEvents: delete it", 2),
    "task_publish_retry": refused("a send is tried again while the backend has a passing fault: delete it", True),
    "task_publish_retry_policy": refused("as task_publish_retry: delete it"),
    "task_inherit_parent_priority": refused("name the priority at the send", False),
    "task_send_sent_event": refused(_EVENTS, False),
    "task_remote_tracebacks": refused("a dead letter keeps its traceback: delete it", False),
    "task_repr_maxlevels": refused("arguments aren't logged: delete it"),
    "task_create_missing_queues": refused("a queue is made by `cloudq terraform`, or by the backend: delete it", True),
    **each(refused(_EXCHANGES), "task_queues", "task_default_queue_type", "task_default_exchange"),
    **each(refused(_EXCHANGES), "task_default_exchange_type", "task_default_routing_key", "task_queue_max_priority"),
    **each(refused(_EXCHANGES), "task_create_missing_queue_type", "task_create_missing_queue_exchange_type"),
    "task_allow_error_cb_on_chord_header": refused("no canvas: delete it", False),
    # ── what stands elsewhere here ──
    **each(
        refused(_BEAT),
        *("beat_schedule", "beat_scheduler", "beat_schedule_filename", "beat_sync_every", "beat_max_loop_interval"),
        *("beat_cron_starting_deadline", "beat_enable_remote_control", "beat_remote_control_max_tick_age"),
    ),
    **each(
        refused(_BROKER),
        *("broker_read_url", "broker_write_url", "broker_transport", "broker_transport_options", "broker_host"),
        *("broker_port", "broker_user", "broker_password", "broker_vhost", "broker_use_ssl", "broker_login_method"),
        *("broker_connection_timeout", "broker_connection_max_retries", "broker_failover_strategy"),
        *("broker_heartbeat", "broker_heartbeat_checkrate", "broker_native_delayed_delivery_queue_type"),
        *("broker_pool_limit", "broker_pool_acquire_timeout"),
    ),
    **each(
        refused("a worker waits for its backend, always: delete it", True),
        *("broker_connection_retry", "broker_connection_retry_on_startup", "broker_channel_error_retry"),
    ),
    **each(
        refused(_CONTROL),
        *("control_queue_ttl", "control_queue_expires", "control_queue_exclusive", "control_queue_durable"),
        "control_exchange",
    ),
    **each(
        refused(_EVENTS),
        *("event_queue_expires", "event_queue_ttl", "event_queue_prefix", "event_queue_exclusive"),
        *("event_queue_durable", "event_serializer", "event_exchange"),
    ),
    **each(
        refused(_SECURITY),
        *("security_certificate", "security_cert_store", "security_key", "security_key_password", "security_digest"),
    ),
    "worker_send_task_events": refused(_EVENTS, False),
    "worker_enable_remote_control": refused(_CONTROL, False),
    "worker_hijack_root_logger": refused("the root logger stays the program's own: delete it", False),
    "worker_redirect_stdouts": refused("what a task prints is printed: delete it", False),
    "worker_redirect_stdouts_level": refused("what a task prints is printed: delete it"),
    "worker_disable_rate_limits": refused("declare the tasks without rate_limit", False),
    "worker_prefetch_multiplier": refused("a worker takes what its free threads start soon: delete it"),
    "worker_max_tasks_per_child": refused("`cloudq worker --max-tasks` ends a worker that a supervisor restarts"),
    **each(
        refused(_WORKER),
        *("worker_agent", "worker_autoscaler", "worker_cancel_long_running_tasks_on_connection_loss"),
        *("worker_soft_shutdown_timeout", "worker_enable_soft_shutdown_on_idle", "worker_concurrency"),
        *("worker_consumer", "worker_direct", "worker_deduplicate_successful_tasks", "worker_log_color"),
        *("worker_log_datefmt", "worker_log_format", "worker_lost_wait", "worker_max_memory_per_child"),
        *("worker_pool", "worker_pool_putlocks", "worker_pool_restarts", "worker_pool_start_method"),
        *("worker_proc_alive_timeout", "worker_eta_task_limit", "worker_enable_prefetch_count_reduction"),
        *("worker_disable_prefetch", "worker_state_db", "worker_task_log_datefmt", "worker_task_log_format"),
        *("worker_timer", "worker_timer_precision", "worker_detect_quorum_queues"),
    ),
    # ── ours ──
    "cloudq_priorities": maps("the queues of priorities, the most urgent first: {9: 'urgent', 5: 'celery'}"),
}
"""By name; those of result backends that aren't stores here are in `of_result_backends`."""

_OF_RESULT_BACKENDS: Final = (
    *("arangodb_", "azureblockblob_", "cache_", "cassandra_", "cosmosdbsql_", "couchbase_", "database_"),
    *("elasticsearch_", "gcs_", "mongodb_", "redis_", "s3_"),
)


def of_result_backends(name: str) -> bool:
    """Whether a setting is one of a result backend's own, by its prefix."""
    return name.startswith(_OF_RESULT_BACKENDS)
