"""The options of `apply_async`, `send_task` and `self.retry`, the fields of `self.request`: what becomes of each."""

from __future__ import annotations

from typing import Final

from cloudq.compat.celery.task_options import TASK_OPTIONS
from cloudq.compat.celery.verdicts import Table, changes, each, maps, refused

_CANVAS: Final = "no canvas: the task that is done sends the next one"
_OWN: Final = "Celery's own between workers: leave it out"
_CONNECTION: Final = "the app keeps its connections: leave it out"
_NO_EXCHANGES: Final = TASK_OPTIONS["exchange"].ours

CALL_OPTIONS: Final[Table] = {
    "args": maps("named after the parameters of the task"),
    "kwargs": maps("the payload"),
    "countdown": maps("delay; kept by the backend, however long"),
    "eta": changes("at; a naive one is taken in the app's time zone, as by Celery. Not beside countdown"),
    "expires": changes("not begun after that; one that is over already is refused, and not sent in vain"),
    "queue": maps("the queue of that name, by a text"),
    "priority": changes("one of the setting cloudq_priorities: each is a queue of its own. Not beside queue"),
    "retries": maps("the number that self.request.retries begins with"),
    "headers": changes("texts by name"),
    "retry": refused("a send is tried again while the backend has a passing fault, always: leave it out", True),
    "retry_policy": refused("as retry: leave it out"),
    "serializer": TASK_OPTIONS["serializer"],
    "compression": TASK_OPTIONS["compression"],
    "delivery_mode": TASK_OPTIONS["delivery_mode"],
    "ignore_result": refused("it is the declaration's: @app.task(ignore_result=True)"),
    **each(
        changes("as the task's; a call shortens what the task or the settings declare, and prolongs nothing"),
        *("time_limit", "soft_time_limit"),
    ),
    "task_id": refused("ids are made by the send: keep the result's id, or have a header of your own"),
    "shadow": refused("a task is logged by its name: leave it out"),
    **each(refused(_CANVAS), "link", "link_error", "chain", "chord", "group_id", "group_index"),
    **each(refused(_OWN), "root_id", "parent_id", "reply_to", "replaced_task_nesting", "origin", "task_type"),
    **each(refused(_OWN), "create_sent_event", "result_cls", "route_name", "argsrepr", "kwargsrepr", "correlation_id"),
    **each(refused(_OWN), "group", "stamped_headers", "stamps", "options", "name", "body", "declare"),
    **each(refused(_OWN), "callbacks", "errbacks", "now", "timezone"),
    "add_to_parent": refused("no list of children is kept: leave it out", True),
    **each(refused(_CONNECTION), "producer", "publisher", "connection", "router", "confirm_timeout"),
    **each(refused(_NO_EXCHANGES), "routing_key", "exchange"),
    **each(refused("AMQP's own: leave it out"), "immediate", "mandatory", "properties", "content_type", "timeout"),
    **each(refused("AMQP's own: leave it out"), "content_encoding"),
    "expiration": refused("expires"),
    "MessageGroupId": changes("fairness_key; on a queue whose name ends in .fifo the ordering_key"),
    "MessageDeduplicationId": refused("an idempotency_key of the task's own: app.cloudq.send(task.cloudq, {...})"),
}
"""Those of `apply_async` and `send_task`, by name. Others are refused as unknown."""

RETRY_OPTIONS: Final[Table] = {
    "args": refused("a retry is of the same call: send another one, and return"),
    "kwargs": refused("a retry is of the same call: send another one, and return"),
    "exc": maps("the error that is kept with the message"),
    "throw": refused("raise self.retry(...): what goes on after a retry would be done twice", True),
    "eta": maps("a naive one is taken in the app's time zone"),
    "countdown": maps("kept by the backend"),
    "max_retries": maps("in place of the declaration's, for this time"),
    "MessageGroupId": changes("the message keeps its own; another one is refused"),
}
"""Those of `self.retry`, by name. What it passes on to `apply_async` is refused: the message stays as it was sent."""

REQUEST_FIELDS: Final[Table] = {
    "id": maps("the message's id"),
    "task": maps("the task's name"),
    "args": changes("those given by position have names, too: they are in kwargs"),
    "kwargs": maps("the arguments by name"),
    "retries": changes("counted by the backend: an upper bound where it counts deliveries"),
    "is_eager": maps("the same"),
    "called_directly": maps("the same"),
    "delivery_info": changes("routing_key is the queue's name, redelivered whether it was handed over before"),
    "headers": maps("the call's own; each is a field of the request, too"),
    "properties": changes("correlation_id, and MessageGroupId where the message has one; nothing of AMQP's"),
    "hostname": maps("this machine"),
    "eta": maps("as ISO 8601, or None"),
    "expires": maps("as ISO 8601, or None"),
    **each(maps("the call's, the task's or the settings'"), "timelimit", "time_limit", "soft_time_limit"),
    "ignore_result": maps("the task's own"),
    **each(maps("of the message that this one was sent by"), "root_id", "parent_id"),
    "correlation_id": maps("the message's id"),
    "utc": maps("True"),
    **each(
        maps("None: there is none"),
        *("callbacks", "errbacks", "chain", "chord", "group", "group_index", "taskset", "reply_to", "shadow"),
        *("stamped_headers", "stamps", "logfile", "loglevel", "origin"),
    ),
    "replaced_task_nesting": maps("0"),
    **each(refused("no list of children is kept"), "children"),
    **each(refused("inside of Celery's own"), "as_execution_options", "update", "clear"),
    "get": maps("the field of that name"),
}
"""Those of `self.request`, by name."""
