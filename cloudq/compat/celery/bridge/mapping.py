"""From a call of Celery's to a message of cloudq's, by the signature of the task of that name."""

from __future__ import annotations

from typing import Final, Literal

from msgspec.structs import replace

from cloudq.app import App
from cloudq.compat.celery.bridge.reading import CeleryCall
from cloudq.compat.celery.bridge.stays import Stays, Why
from cloudq.core.message import Message, is_ordered
from cloudq.core.printable import NAME_CHARS, shortened
from cloudq.errors import CloudqError, OptionError, PayloadError, nearest
from cloudq.tasks.composing import NO_PAYLOAD, composed
from cloudq.tasks.options import SendOptions
from cloudq.tasks.task import Task

# What a bridged message is: a copy of Celery's own, which would be generation 0.
_BRIDGED: Final = 1


def message_for(app: App, call: CeleryCall, group: str | None = None) -> Message:
    """The message that makes a worker run the call.

    It has Celery's id. Its source names the publication that it was, and its generation says that it is a copy: by the
    three a backend that de-duplicates knows it again, and doesn't take another call for it that was given the same id.

    Args:
        app: Whose task.
        call: The call.
        group: What the old queue kept it in order by, where its sender didn't say so: kombu has one for all of these.

    Raises:
        Stays: The app has no task of that name, or the arguments don't fit it.
    """
    handlers = app.runtime.handlers
    definition = handlers.get(call.task)
    if definition is None:
        name = shortened(call.task, NAME_CHARS)
        raise Stays(Why.UNKNOWN_TASK, f"the app has no task {name!r}: {nearest(name, handlers)}")
    options = SendOptions(headers=dict(call.headers)) if call.headers else SendOptions()
    # As SQS itself: the order in a FIFO queue, and whose message it is in another one. A declared key goes first.
    ordered = is_ordered(definition.queue)
    key: Literal["ordering_key", "fairness_key"] = "ordering_key" if ordered else "fairness_key"
    said = call.group or (group if ordered else None)
    if said is not None and key not in definition.keys:
        options[key] = said
    if call.eta is not None and call.eta > app.clock.now():
        options["at"] = call.eta
    try:
        values = definition.parameters.values(tuple(call.args), call.kwargs)
        wanted = Task[..., object](definition).call_with(values, options)
        message = composed(app, handlers, wanted, NO_PAYLOAD, SendOptions())
    except OptionError as error:
        raise Stays(Why.REFUSED, error.message) from error
    except (PayloadError, CloudqError) as error:
        raise Stays(Why.ARGUMENTS, error.message) from error
    except Exception as error:  # code of the app's own, which reads values of its own types
        raise Stays(Why.ARGUMENTS, f"reading its arguments raised {type(error).__name__}") from error
    return replace(
        message,
        id=call.id,
        source=f"celery:{call.tag}",
        generation=_BRIDGED,
        attempt_base=call.retries,
        # Also where that is over: the worker ends it as expired, as its task declares.
        expires_at=message.expires_at if call.expires is None else call.expires,
    )
