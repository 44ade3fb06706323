"""What other task queues call things: an error about one of their words names ours.

Nothing here makes the words work: `hasattr` stays false, and so does what asks for an object's abilities (copy, pickle,
inspect, mocks).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

_SEND: Final = "task.send(...) stores a message; in async code `await task.asend(...)`"
_OPTIONS: Final = "task.options(delay=..., at=..., queue=...).send(...)"
_CALL: Final = "task.call(...) is a call to be sent later, many of them by cloudq.send_many([...])"
_HERE: Final = "task(...) runs it here and now"
_RETRIES: Final = "@cloudq.task(retry=cloudq.RetryPolicy(stop=..., wait=...)); within a task: raise cloudq.Retry()"
_COMMIT: Final = "transaction.on_commit(functools.partial(task.send, ...))"
_CONTEXT: Final = "a first parameter annotated cloudq.Context tells about the running message"
_RESULT: Final = "@task(keep_result=...) keeps what a task returns: sent.result(timeout), or cloudq.result(sent.id)"
_STATUS: Final = "cloudq.result(sent.id).status says how far it has come"
_CANCEL: Final = "cloudq.cancel(sent) takes back what no worker was handed yet; later: cloudq.cancel_run(sent.id)"


def _words(*groups: tuple[str, Iterable[str]]) -> Mapping[str, str]:
    return {word: ours for ours, words in groups for word in words}


TASK: Final = _words(
    (_SEND, ("delay", "enqueue", "kiq", "defer", "defer_async", "queue_task", "publish", "submit", "spawn")),
    (
        _OPTIONS,
        ("apply_async", "send_with_options", "schedule", "kicker", "configure", "set", "enqueue_at", "enqueue_in"),
    ),
    (_CALL, ("s", "si", "signature", "subtask", "message", "message_with_options", "map", "starmap", "chunks")),
    (_HERE, ("apply", "run", "call_local", "fn", "func")),
    (_RETRIES, ("retry", "max_retries", "autoretry_for", "retry_backoff", "default_retry_delay")),
    (_COMMIT, ("delay_on_commit", "apply_async_on_commit")),
    (_CONTEXT, ("request",)),
    (_RESULT, ("AsyncResult", "get_result", "get", "result")),
    ("context.progress(done, total) says how far it has come", ("update_state",)),
)
SENT: Final = _words(
    (_RESULT, ("get", "results", "get_result", "wait", "wait_result", "join", "collect", "then", "forget")),
    (_STATUS, ("state", "status", "get_status", "successful", "failed", "is_finished", "is_failed", "is_ready")),
    (_STATUS, ("ready", "traceback", "refresh", "exception")),
    (_RESULT, ("return_value", "children", "blocking")),
    (_CANCEL, ("revoke", "abort", "cancel", "delete", "stop")),
    ("its id is sent.id", ("task_id", "message_id", "job_id", "uuid")),
)
CALL: Final = _words(
    (
        "cloudq.send(call) stores it; in async code `await cloudq.asend(call)`",
        ("send", "asend", "delay", "kiq", "enqueue"),
    ),
    ("cloudq.send(call, delay=..., queue=...)", ("apply_async",)),
    ("call.with_options({...})", ("set", "clone")),
    (_HERE, ("apply", "run")),
    (_RESULT, ("get", "result")),
)
APP: Final = _words(
    ('app.send("its name", {...})', ("send_task", "enqueue", "enqueue_call", "signature", "send_message")),
    ('App(imports=["shop.tasks"]) names the modules that declare tasks', ("autodiscover_tasks", "include")),
    ("App(url, retry=..., middleware=...) and app.configure(...) take the settings", ("conf", "config_from_object")),
    ("@app.task declares one", ("actor", "shared_task", "register_task", "periodic_task", "job")),
    ("`cloudq worker` runs the tasks", ("worker_main", "start", "Worker", "run_worker", "work")),
    ("cloudq.testing.run_all(app), or app.eager(), in tests", ("task_always_eager",)),
    (_CANCEL, ("control", "revoke")),
    (_RESULT, ("AsyncResult", "backend", "result_backend")),
)


def no_attribute(thing: object, name: str, words: Mapping[str, str]) -> AttributeError:
    """Python's own error for an attribute that isn't there, with our word for it if there is one.

    Looks at nothing of `thing` but its type: it may be half made, as while it is unpickled.
    """
    ours = words.get(name)
    hint = f"; hint: {ours}" if ours else ""
    return AttributeError(f"{type(thing).__name__!r} object has no attribute {name!r}{hint}", name=name, obj=thing)
