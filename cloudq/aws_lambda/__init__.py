"""Tasks in AWS Lambda: `handler(app)` is the function of an event source mapping of an SQS queue.

```python
import cloudq
from cloudq.aws_lambda import handler as lambda_handler

app = cloudq.App(imports=["shop.tasks"])
handler = lambda_handler(app)
```
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from cloudq.errors import BatchFailed

if TYPE_CHECKING:
    from cloudq.app import App
    from cloudq.aws_lambda.edge import Edge

__all__ = ["Answer", "LambdaContext", "LambdaFunction", "handler"]

# The longest timeout of a function: taken where none is said, in a test say.
LONGEST: Final = timedelta(minutes=15)

Answer: TypeAlias = "dict[str, list[dict[str, str]]]"
"""`{"batchItemFailures": [{"itemIdentifier": "the message's id"}]}`"""


class LambdaContext(Protocol):
    """What is asked of the context that Lambda passes."""

    def get_remaining_time_in_millis(self) -> int:
        """How long until the function is killed."""
        ...


LambdaFunction: TypeAlias = "Callable[[object, LambdaContext | None], Answer]"
"""What Lambda calls with an event and a context."""


def handler(app: App, *, concurrency: int = 1, report_failures: bool = True) -> LambdaFunction:
    """The function to give to Lambda: it runs the app's tasks for the records of an event source mapping.

    Nothing is opened before the first invocation, and no client of SQS is made before a task fails or sends.

    The mapping has to have `FunctionResponseTypes` set to `ReportBatchItemFailures`. **Without it Lambda doesn't read
    the answer, and deletes what failed along with the rest: those messages are lost.** No event says whether it is set.
    Where it can't be, pass `report_failures=False`.

    Args:
        app: Whose tasks to run. Its URL is `sqs://`.
        concurrency: The most tasks of a batch that run at once, from 1 to 100: plain functions in threads, async ones
            on one event loop. The records of a FIFO group run one after the other, whatever it is.
        report_failures: Whether failures are reported one by one, in the answer. If not, what is done is deleted here
            (which takes the permission `sqs:DeleteMessage`) and `BatchFailed` is raised as soon as one record failed,
            so that Lambda deletes nothing.

    Raises:
        ConfigurationError: `concurrency` is out of bounds.

    The function itself raises `PushRefused` for an event that is none of the app's queues, and `ConfigurationError`
    where the app can't be opened. Nothing was run then, and all of the batch stays in its queue.
    """
    from cloudq.running.runner import Once, check_concurrency

    check_concurrency(concurrency)

    def make_edge() -> Edge:
        from cloudq.aws_lambda.edge import Edge

        return Edge(app)

    edge = Once(make_edge)

    def handle(event: object, context: LambdaContext | None = None) -> Answer:
        """Runs the tasks of an event's records; says which stay in the queue."""
        from cloudq.aws_lambda.batch import Batch
        from cloudq.aws_lambda.budget import Budget
        from cloudq.drivers.sqs.event_source import arrivals

        left = LONGEST if context is None else timedelta(milliseconds=context.get_remaining_time_in_millis())
        now, began = app.clock.now(), app.clock.elapsed()
        budget = Budget(began=began, deadline=began + left)
        here = edge()
        records = arrivals(event, here.origin, now=now, until=now + left, elapsed=began)
        batch = Batch(here, records, budget, concurrency=concurrency, delete=not report_failures)
        stay = batch.run()
        if stay and not report_failures:
            raise BatchFailed(
                f"{len(stay)} of {len(records)} records failed, or weren't started; the others are deleted",
                hint="they come back; to report them one by one, give the mapping ReportBatchItemFailures",
            )
        # Twice the same id, of a message that was handed over twice, would be an error to Lambda.
        return {"batchItemFailures": [{"itemIdentifier": id_} for id_ in dict.fromkeys(records[n].id for n in stay)]}

    return handle


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
