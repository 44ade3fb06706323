"""Tasks in Azure Functions: `handler(app, queue=...)` is what a Service Bus trigger's function calls.

```python
import azure.functions as func
from cloudq.azure_functions import handler

from tasks import app as tasks

app = func.FunctionApp()
run = handler(tasks, queue="orders")


@app.service_bus_queue_trigger(arg_name="message", queue_name="prod-orders", connection="ServiceBus")
def orders(message: func.ServiceBusMessage) -> None:
    run(message)
```
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from cloudq.core.message import is_ordered
from cloudq.drivers.service_bus.limits import is_subscription
from cloudq.drivers.service_bus.trigger import TriggerMessage
from cloudq.errors import ConfigurationError
from cloudq.queues.names import check_queue

if TYPE_CHECKING:
    from cloudq.app import App
    from cloudq.azure_functions.edge import Edge

__all__ = ["MessageFunction", "TriggerMessage", "handler"]

MessageFunction: TypeAlias = "Callable[[TriggerMessage | Sequence[TriggerMessage]], None]"
"""What a function calls with what its trigger passed."""


def handler(app: App, *, queue: str, concurrency: int = 1, auto_complete: bool = True) -> MessageFunction:
    """What a function with a Service Bus trigger calls with its message, or with its list of them.

    It returns once each message is done, or its next attempt stored, or it lies in the dead-letter queue: the host then
    completes all of them. If one has to stay it raises, and the host abandons all; those that are done are completed
    before. So nothing is lost, whatever fails on the way.

    Nothing is opened before the first invocation, and no connection is made before a task fails or sends.

    Args:
        app: Whose tasks to run. Its URL is `servicebus://`.
        queue: The queue that the trigger is of, by its name in cloudq: without the URL's prefix. No message says it,
            and retries are sent to it.
        concurrency: The most tasks of a list that run at once, from 1 to 100: plain functions in threads, async ones on
            one event loop. With 1, plain ones run in the thread that calls.
        auto_complete: What `autoCompleteMessages` is in host.json. Where it is false the host completes nothing, so
            each message is completed here.

    Raises:
        ConfigurationError: `concurrency` is out of bounds; or the queue is one with sessions (`.fifo`), or a
            subscription.
        OptionError: `queue` is no name of a queue, or that of a dead-letter queue.

    The function itself raises `BatchFailed` where a message has to stay; `PushRefused`, before anything is run, for
    what is no message of a Service Bus trigger or is of a session; and `ConfigurationError` where the app can't be
    opened.
    """
    from cloudq.running.runner import Once, check_concurrency

    check_concurrency(concurrency)
    _check_queue(queue)

    def make_edge() -> Edge:
        from cloudq.azure_functions.edge import Edge

        return Edge(app, queue)

    edge = Once(make_edge)

    def handle(messages: TriggerMessage | Sequence[TriggerMessage]) -> None:
        """Runs the tasks of a trigger's messages."""
        from cloudq.azure_functions.batch import Batch

        Batch(edge(), messages, concurrency=concurrency, auto_complete=auto_complete).run()

    return handle


def _check_queue(queue: str) -> None:
    if is_subscription(queue):
        raise ConfigurationError(
            f"{queue!r} is a subscription: a function's retry is a copy, and none can be sent to it",
            hint="work on subscriptions with `cloudq worker`, or have the topic forward to a queue",
        )
    check_queue(queue)
    if is_ordered(queue):
        raise ConfigurationError(
            f"queue {queue!r} has sessions, whose order a function can't keep when a task fails",
            hint="work on it with `cloudq worker`, or use a queue without .fifo",
        )


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
