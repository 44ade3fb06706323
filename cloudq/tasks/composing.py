"""From a call to a message: what `send` accepts, checked, with its keys and its time."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cloudq.core.message import Message
from cloudq.core.moments import plain_datetime
from cloudq.core.spans import shown
from cloudq.errors import OptionError, PayloadError
from cloudq.tasks.definition import Definition
from cloudq.tasks.expiry_options import expiry
from cloudq.tasks.holding import Unheld
from cloudq.tasks.home import TaskHome
from cloudq.tasks.json_values import to_json
from cloudq.tasks.options import SendOptions, check_send_options
from cloudq.tasks.run_options import noting
from cloudq.tasks.task import Call, Task, definition_of
from cloudq.tasks.task_queues import refuse_foreign_queue

# RFC 9562, section 4.1 (2024-05): the first two bits of the digit are 1 and 0, the others are random.
_VARIANTS: Final = {f"{digit:x}": f"{digit & 0x3 | 0x8:x}" for digit in range(16)}

NO_PAYLOAD: Final[Mapping[str, object]] = {}


def composed(
    home: TaskHome,
    declared: Mapping[str, Definition],
    task: Task[..., Any] | str | Call,
    payload: Mapping[str, object],
    options: SendOptions,
) -> Message:
    """The message that a send of `home`'s stands for.

    Raises:
        PayloadError: The payload doesn't fit, isn't JSON, or a `Call` has one already.
        OptionError: An option isn't valid, `task` isn't one, or it is another app's; or its time is too far away.
    """
    call, now = call_of(task, payload, options, declared), home.clock.now()
    if call is None:
        message = undeclared_message(str(task), payload, options, home.default_queue, now)
    elif (definition := definition_of(call.task)).app is home:
        message = message_of(call, definition, now)
    else:
        raise OptionError(
            f"task {definition.name!r} belongs to another App",
            hint="send it by that App, or by name: app.send('...')",
        )
    if message.not_before is not None and message.not_before - now > home.longest_delay:
        raise OptionError(
            f"{message.task} is to run at {message.not_before.isoformat(timespec='seconds')}, which is further away"
            f" than {shown(home.longest_delay)}",
            hint="an earlier moment, or App(longest_delay=...), at the workers too",
        )
    return message


def checked_calls(calls: Iterable[object]) -> list[Call]:
    """What was given to `send_many`, if all of it are calls.

    Raises:
        OptionError: Something else is among them.
    """
    checked: list[Call] = []
    for call in calls:
        if not isinstance(call, Call):
            raise OptionError(f"send_many takes calls, not {call!r}", hint="task.call(...)")
        checked.append(call)
    return checked


def call_of(
    task: Task[..., Any] | str | Call,
    payload: Mapping[str, object],
    options: SendOptions,
    declared: Mapping[str, Definition],
) -> Call | None:
    """The validated call that these stand for, or `None` for the name of a task that isn't declared here.

    Raises:
        PayloadError: The payload doesn't fit, or a `Call` has one already.
        OptionError: An option isn't valid, or `task` isn't one.
    """
    if isinstance(task, Call):
        if payload is not NO_PAYLOAD:
            raise PayloadError("a Call has its payload already", hint="send the task instead, or the call alone")
        return task.with_options(options) if options else task
    if isinstance(task, str):
        definition = declared.get(task)
        if definition is None:
            return None
        task = Task(definition)
    if not isinstance(task, Task):
        raise OptionError(f"{task!r} is no task", hint="decorate the function with @cloudq.task")
    return task.call_with(payload, options)


def message_of(call: Call, definition: Definition, now: datetime) -> Message:
    """The message for a validated call of the task that was so declared.

    Raises:
        OptionError: The task doesn't name the queue that the call is for, and may only be sent to those that it does.
    """
    options = call.options
    queue = options.get("queue")
    if queue is None:
        queue = definition.queue if "priority" not in options else _prior_queue(definition, options["priority"])
    elif definition.app.strict_queues is not False:
        refuse_foreign_queue(definition.name, queue, definition.queues)
    return _built(
        definition.name,
        queue,
        call.payload,
        options,
        now,
        time_limit=definition.time_limit,
        track=definition.run_options.track,
        expires=definition.expiry_options.expires,
    )


def _prior_queue(definition: Definition, priority: str) -> str:
    if definition.priorities is None:
        raise OptionError(
            f"task {definition.name!r} declares no priorities, and one is given", hint="declare them: priorities={...}"
        )
    return definition.priorities.queue_of(priority, definition.name)


def undeclared_message(
    name: str, payload: Mapping[str, object], options: SendOptions, default_queue: str, now: datetime
) -> Message:
    """A message for a task that lives in another program: its parameters can't be checked here.

    Raises:
        PayloadError: The payload isn't JSON.
        OptionError: An option isn't valid, or `name` can't be a task's.
    """
    if not name or not name.isprintable():
        raise OptionError(f"{name!r} is no name of a task", hint="e.g. 'shop.welcome'")
    check_send_options(options)
    if "priority" in options:
        raise OptionError(
            f"task {name!r} isn't declared here, so that nothing is known of its priorities", hint="name the queue"
        )
    return _built(name, options.get("queue") or default_queue, to_json(payload, name), options, now)


def _built(
    name: str,
    queue: str,
    payload: Mapping[str, object],
    options: SendOptions,
    now: datetime,
    *,
    time_limit: timedelta | None = None,
    track: bool = False,
    expires: timedelta | None = None,
) -> Message:
    if not options and not track and expires is None:
        return Message(id=_new_id(), task=name, queue=queue, payload=payload, sent_at=now, time_limit=time_limit)
    due = _due(now, options)
    kind = Message if options.get("on_commit", True) else Unheld
    return kind(
        id=_new_id(),
        task=name,
        queue=queue,
        payload=payload,
        sent_at=now,
        not_before=due,
        expires_at=expiry(options.get("expires", expires), now, due),
        idempotency_key=options.get("idempotency_key"),
        ordering_key=options.get("ordering_key"),
        fairness_key=options.get("fairness_key"),
        time_limit=time_limit,
        headers=dict(options.get("headers", {})),
        extensions=noting(options, payload, track=track),
    )


def _new_id() -> str:
    """A random UUID, version 4, as a text. `str(uuid4())` is the same, and takes twice as long at each send."""
    digits = os.urandom(16).hex()
    variant = _VARIANTS[digits[16]]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def _due(now: datetime, options: SendOptions) -> datetime | None:
    delay, at = options.get("delay", options.get("debounce")), options.get("at")
    try:
        if delay:
            return now + delay
        return None if at is None else plain_datetime(at).astimezone(UTC)
    except OverflowError as error:
        raise OptionError(
            f"{delay or at} is beyond the year 9999, or before the year 1", hint="an earlier moment"
        ) from error
