"""What `Celery(...)` takes, and what an app of Celery's has: what becomes of each."""

from __future__ import annotations

from typing import Final

from cloudq.compat.celery.verdicts import Table, changes, each, maps, refused

_INSIDE: Final = "inside of Celery's own"
_BEAT: Final = "a scheduler of the platform's, or cron with `cloudq send`, sends on time"
_WORKER: Final = "`cloudq worker --app proj.celery:app`"

APP_OPTIONS: Final[Table] = {
    "main": maps("the module of tasks that a script declares"),
    "broker": changes("as the setting broker_url"),
    "backend": changes("as the setting result_backend"),
    "include": maps("modules that are imported before tasks are looked for"),
    "changes": maps("settings"),
    "config_source": maps("as config_from_object"),
    "namespace": maps("of config_source"),
    "set_as_current": maps("the same"),
    "task_cls": maps("the base of its tasks"),
    "autofinalize": refused("tasks are declared when the app is first used: leave it out", True),
    "strict_typing": refused("arguments are checked against the signature, always: leave it out", True),
    "config_source_silent": refused("settings that can't be read are an error: leave it out", False),
    "fixups": refused("Django is set up where DJANGO_SETTINGS_MODULE is set: leave it out"),
    **each(refused(_INSIDE), "loader", "amqp", "events", "log", "control", "tasks"),
}
"""The arguments of `Celery`, by name; others are settings, as with Celery."""

APP_METHODS: Final[Table] = {
    **each(
        maps("the same"),
        *("main", "conf", "task", "tasks", "finalize", "config_from_object", "autodiscover_tasks", "set_current"),
        *("set_default", "current_task", "now", "register_task", "AsyncResult", "signature", "Task", "add_defaults"),
        *("gen_task_name", "close", "timezone"),
    ),
    "send_task": changes("the arguments of a task that isn't declared here go by name: kwargs"),
    "config_from_envvar": maps("the same"),
    **each(refused(_BEAT), "add_periodic_task", "Beat", "on_after_configure", "on_after_finalize"),
    **each(refused(_WORKER), "worker_main", "start", "Worker", "WorkController", "steps", "config_from_cmdline"),
    **each(refused("cloudq.cancel_run(id), `cloudq pause`, `cloudq top`"), "control", "events", "events_cls"),
    **each(refused("no canvas: results are read one by one"), "GroupResult", "ResultSet"),
    "setup_security": refused("App(signing=..., signing_keys=...)"),
    "select_queues": refused("`cloudq worker --queue`"),
    **each(
        refused(_INSIDE),
        *("IS_WINDOWS", "IS_macOS", "Pickler", "SYSTEM", "amqp", "amqp_cls", "annotations", "backend", "backend_cls"),
        *("broker_connection", "bugreport", "builtin_fixups", "connection", "connection_for_read", "control_cls"),
        *("connection_for_write", "connection_or_acquire", "create_task_cls", "current_worker_task", "either"),
        *("default_connection", "default_producer", "loader", "loader_cls", "log", "log_cls", "oid", "on_after_fork"),
        *("on_configure", "on_init", "pool", "prepare_config", "producer_or_acquire", "producer_pool"),
        *("registry_cls", "subclass_with_self", "task_cls", "thread_oid", "type_checker", "user_options"),
        "uses_utc_timezone",
    ),
}
"""What an app has, by its name."""
