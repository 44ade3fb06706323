"""RQ's words, and what becomes of each here. `docs/reference/rq-options.md` is written from this."""

from __future__ import annotations

from typing import Final

from cloudq.compat.rq.table import Table, each

_NO_LIST: Final = "hosted queues can't be listed: cloudq stats counts, cloudq dlq list shows what failed"
_NEXT: Final = "send the next task at the end of the first one"
_INSIDE: Final = "inside of RQ's own"
_NO_FRONT: Final = "hosted queues have no front: give urgent jobs a queue of their own"
_NO_REDIS: Final = "nothing is kept in Redis"
_JSON: Final = "messages are JSON: leave it out"
_OWN_CLASS: Final = "leave it out: App(middleware=...) is where a program adds what is its own"
_LEASES: Final = "leave it out: a job is leased, and handed to another worker when its worker dies"
_DEAD_HOOK: Final = "@connection.on_dead is called with each job that is dead"
_DEAD_QUEUE: Final = "cloudq dlq list QUEUE, cloudq dlq redrive QUEUE"

PACKAGE: Final = Table(
    maps={
        **each("the same", "Queue Retry get_current_job"),
        "cancel_job": "as job.cancel()",
    },
    changes=each("see the table of a worker", "Worker SimpleWorker"),
    refused={
        "Callback": f"{_NEXT}; {_DEAD_HOOK}",
        "RateLimit": "@connection.task(rate=...)",
        "Repeat": "have the task send itself again with a delay",
        "SpawnWorker": "cloudq worker --app MODULE --queue NAME --processes 1",
        "Webhook": "call it at the end of the task",
        "requeue_job": "cloudq dlq redrive QUEUE",
    },
)
"""What `rq` exports."""

ENQUEUE: Final = Table(
    maps={
        "ttl": "it expires: it isn't begun any more after that many seconds",
        "description": "a header of the message",
        "retry": "a Retry of cloudq.compat.rq; max up to 50",
        "meta": "a JSON object, which travels with the message; the job reads it, and can't change it",
    },
    changes={
        "job_timeout": "a limit belongs to a function: another value than its own is refused",
        "result_ttl": "it belongs to the connection or to @job: another value is refused",
    },
    refused={
        "at_front": _NO_FRONT,
        "depends_on": _NEXT,
        "failure_ttl": "leave it out: a dead letter is kept as long as the dead-letter queue keeps messages",
        "job_id": "job.id names it; work that is to be done once has an idempotency_key (@connection.task)",
        "on_failure": _DEAD_HOOK,
        "on_stopped": "look at context.cancelled in the task",
        "on_success": _NEXT,
        "pipeline": "enqueue_many stores many with few calls",
        "rate_limit": "@connection.task(rate=...)",
        "repeat": "have the task send itself again with a delay",
        "unique": "unique_while_waiting and debounce are options of a task's own send",
        "webhooks": "call it at the end of the task",
    },
)
"""The options of `enqueue`, `enqueue_in`, `enqueue_at`, `enqueue_call` and `prepare_data`."""

DECORATOR: Final = Table(
    maps={
        "queue": "a name, or a Queue",
        "timeout": "the function's time limit, in seconds; -1: none",
        "result_ttl": "for how long what it returned is kept, in seconds; 0: not at all",
        **{name: ENQUEUE.maps[name] for name in ("ttl", "description", "retry", "meta")},
    },
    changes={"connection": "a Connection that names the function's module; that of the queue by itself"},
    refused={
        "queue_class": _OWN_CLASS,
        **{
            name: ENQUEUE.refused[name]
            for name in ("at_front", "depends_on", "failure_ttl", "on_failure", "on_stopped", "on_success", "webhooks")
        },
    },
)
"""The options of `@job`, of `rq.decorators`."""

DELAY: Final = Table(
    maps={},
    changes={},
    refused={name: ENQUEUE.refused[name] for name in ("at_front", "depends_on", "job_id")},
)
"""What the `delay` of a function under `@job` takes besides the function's own arguments."""

QUEUE: Final = Table(
    maps={
        **each("the same", "name connection enqueue enqueue_in enqueue_at enqueue_call fetch_job"),
        "enqueue_many": "stored with few calls, in this queue",
        "count": "as the backend counts what is ready",
        "is_empty": "whether none is ready, as the backend counts",
    },
    changes={
        "prepare_data": "on a queue, not on the class",
        "empty": "what enqueue_in and enqueue_at have stored is deleted as well",
        "default_timeout": "as the connection's job_timeout; another value is refused",
        "is_async": "True alone; with connection.eager(): runs jobs at once, in a test",
    },
    refused={
        **each(_NO_LIST, "all get_job_ids get_job_position get_jobs job_ids jobs"),
        **each(_NO_LIST, "started_job_registry finished_job_registry deferred_job_registry scheduled_job_registry"),
        **each(_NO_LIST, "ready_job_registry canceled_job_registry"),
        "failed_job_registry": _DEAD_QUEUE,
        "remove": "job.cancel()",
        "delete": "cloudq purge QUEUE",
        **each(_JSON, "serializer"),
        **each(_OWN_CLASS, "job_class death_penalty_class"),
        **each("enqueue_call, or prepare_data for many", "create_job enqueue_job run_job run_sync schedule_job"),
        **each(_NO_REDIS, "key redis_queue_namespace_prefix redis_queues_keys registry_cleaning_key"),
        **each(_NO_REDIS, "intermediate_queue intermediate_queue_key from_queue_key redis_server_version"),
        **each(_NO_REDIS, "get_redis_server_version acquire_maintenance_lock release_maintenance_lock compact"),
        **each(_INSIDE, "dequeue_any enqueue_dependents enqueue_ready_jobs_by_queue lmove lpop log parse_args"),
        **each(_INSIDE, "move_dependents_to_ready pop_job_id push_job_id scheduler_pid setup_dependencies"),
        "DEFAULT_TIMEOUT": "Connection(job_timeout=180)",
    },
)
"""What a `Queue` has, and takes when it is made."""

JOB: Final = Table(
    maps={
        **each("the same", "id connection get_status is_finished is_failed is_started is_canceled"),
        **each("the same; nothing is waited for", "return_value result"),
        **each("raises NoSuchJobError where nothing is noted of it", "fetch refresh"),
        **each("the same", "fetch_many exists"),
        "origin": "the queue's name",
        "func_name": "the task's name",
        "description": "what was given, or None",
        **each("what was given to the enqueue, to read", "meta get_meta"),
        "timeout": "the function's time limit, in seconds; None: there is none",
        "retries_left": "how many runs more a Retry of the enqueue gives; None without one",
        **each("when it was sent, in the job itself; None where it was enqueued", "enqueued_at created_at"),
    },
    changes={
        "is_queued": "also one whose time hasn't come yet, or that will run again",
        "kwargs": "all arguments by their names, those too that were given by position",
        "number_of_retries": "how often it ran before, whatever had it run again",
        "cancel": "one that runs learns of it, too, and is `started` until it ends; a second time is no error",
    },
    refused={
        "args": "job.kwargs has all arguments by their names",
        "func": "connection.job_task(job.func_name)",
        **each("context.progress(done, total) tells others how far a job is", "save_meta save"),
        **each("a job waits, or runs again later: both are `queued`", "is_scheduled"),
        **each("no job depends on another", "is_deferred is_ready_to_enqueue dependency dependency_ids dependent_ids"),
        **each("no job depends on another", "dependents_key dependents_key_for dependencies_key delete_dependents"),
        **each("no job depends on another", "dependencies_are_met fetch_dependencies process_dependencies"),
        **each("no job depends on another", "register_dependency allow_dependency_failures"),
        "is_stopped": "job.is_canceled; in the task context.cancelled",
        **each(f"connection.result(job.id).reason; {_DEAD_QUEUE}", "exc_info latest_result results"),
        **each(_DEAD_QUEUE, "requeue failed_job_registry"),
        **each("job.cancel(); what is noted of it goes with result_ttl", "delete cleanup"),
        "create": "queue.enqueue, or queue.prepare_data for many",
        **each(_NO_LIST, "get_position started_job_registry finished_job_registry execution_registry get_executions"),
        **each("connection.result(job.id).at is when the last was noted", "started_at ended_at last_heartbeat"),
        "worker_name": "the log lines of a worker name the job",
        **each("the job's result_ttl is its connection's, its ttl the message's", "result_ttl ttl failure_ttl"),
        **each("the job's result_ttl is its connection's, its ttl the message's", "get_ttl get_result_ttl"),
        **each("job.func_name and job.kwargs", "get_call_string data instance to_dict restore serializer"),
        **each(_NO_FRONT, "enqueue_at_front enqueue_at_front_on_retry should_enqueue_at_front"),
        **each(_NEXT, "success_callback success_callback_timeout"),
        **each(_DEAD_HOOK, "failure_callback failure_callback_timeout"),
        **each("look at context.cancelled in the task", "stopped_callback stopped_callback_timeout"),
        **each("call it at the end of the task", "webhooks send_webhooks"),
        **each("have the task send itself again with a delay", "repeats_left repeat_intervals"),
        **each("@connection.task(rate=...)", "has_rate_limit rate_limit_key rate_limit_concurrency"),
        **each("raise cloudq.Retry, or return a Retry", "retry retry_intervals should_retry get_retry_interval"),
        "group_id": "there are no groups: look at each of the jobs that enqueue_many gave",
        **each(_NO_REDIS, "key key_for redis_job_namespace_prefix redis_server_version"),
        **each(_INSIDE, "heartbeat log perform prepare_for_execution set_status"),
    },
)
"""What a `Job` has."""

WORKER: Final = Table(
    maps={
        "connection": "a Connection; that of the queues by itself",
        **each("the same", "work queue_names"),
        "request_stop": "what runs is finished, then work() returns",
    },
    changes={
        "queues": "names, or Queues of one connection; of a later one some may be in hand before the first is empty",
        "name": "kept as its attribute: there is no list of workers",
        "default_result_ttl": "as the connection's result_ttl; another value is refused",
        "log_job_description": "no log line has one",
    },
    refused={
        **each(_LEASES, "default_worker_ttl worker_ttl job_monitoring_interval maintenance_interval"),
        **each(_LEASES, "work_horse_killed_handler handle_work_horse_killed prepare_for_work"),
        **each(f"{_DEAD_HOOK}; App(middleware=...) sees each run", "exception_handlers push_exc_handler"),
        **each(f"{_DEAD_HOOK}; App(middleware=...) sees each run", "pop_exc_handler handle_exception"),
        "disable_default_exception_handler": "leave it out: what fails is a dead letter, always",
        **each(_OWN_CLASS, "job_class queue_class death_penalty_class execute_job perform_job"),
        "serializer": _JSON,
        **each("there is no list of workers: cloudq top asks those whose address it is given", "all all_keys count"),
        **each("there is no list of workers: cloudq top asks those whose address it is given", "find_by_key refresh"),
        "get_current_job": "get_current_job() within the job",
        "get_current_job_id": "get_current_job() within the job",
        "request_force_stop": "a second signal ends the worker now",
        **each("cloudq pause QUEUE", "check_for_suspension"),
        **each("no scheduler is needed", "stop_scheduler"),
        **each(
            _INSIDE,
            "bootstrap clean_group_registries clean_registries cleanup_execution connection_timeout "
            "current_execution_count death_date dequeue_job_and_maintain_ttl dequeue_timeout execution executions_key "
            "exponential_backoff_factor fork_work_horse get_current_executions get_heartbeat_ttl "
            "get_redis_server_version get_state handle_execution_ended handle_job_failure handle_job_retry "
            "handle_job_success handle_payload handle_warm_shutdown_request heartbeat horse_pid "
            "increment_failed_job_count increment_successful_job_count increment_total_working_time is_horse key "
            "kill_horse log_result_lifespan main_work_horse maintain_heartbeats max_connection_wait_time "
            "monitor_work_horse prepare_execution prepare_job_execution procline pubsub_channel_name queue_keys "
            "redis_worker_namespace_prefix redis_workers_keys register_birth register_death reorder_queues "
            "request_stop_execution run_maintenance_tasks serialize set_shutdown_requested_date set_state "
            "setup_work_horse_signals should_run_maintenance_tasks shutdown_requested_date state subscribe teardown "
            "unsubscribe validate_queues wait_for_horse",
        ),
    },
)
"""What a `Worker` has, and takes when it is made."""

WORK: Final = Table(
    maps={
        "burst": "it ends once the queues are empty",
        "max_jobs": "it ends after that many",
        "with_scheduler": "the queue's service keeps the time: nothing has to be started for it",
        "logging_level": "of all log lines, to stderr; by itself INFO, where the program has set up no logging",
    },
    changes={"dequeue_strategy": "default (in the queues' order) or round_robin (by turns); random is refused"},
    refused={
        "max_idle_time": "burst=True ends once the queues are empty",
        **each("leave it out: cloudq worker --log-format json is for programs", "date_format log_format"),
    },
)
"""The options of `Worker.work`."""
