"""The faults of how often, and for how long, a queue hands over, to Lambda too, as data. `queue_law` finds them."""

from __future__ import annotations

from typing import Final

from cloudq.cli.doctor.fault import Fault, Fix, Severity, Where
from cloudq.cli.doctor.fixing import (
    CLOUD_TASKS,
    LAMBDA,
    REDRIVE,
    SERVICE_BUS,
    SQS_ATTRIBUTES,
    SQS_DEAD_LETTERS,
    azure,
    google,
    sqs,
)

FAULTS: Final = (
    Fault(
        id="deliveries-few",
        severity=Severity.ERROR,
        what="the service gives a message up before the retry policy does",
        why="it is dead-lettered without its reason, and without the attempts that its policy promises",
        fixes={
            Where.SQS: sqs(REDRIVE, "max_receive_count = {right}"),
            Where.SERVICE_BUS: azure("--max-delivery-count {right}", "max_delivery_count = {right}"),
        },
        source=f"{SQS_DEAD_LETTERS}; {SERVICE_BUS}",
    ),
    Fault(
        id="service-deletes",
        severity=Severity.ERROR,
        what="the service deletes a message after a number of pushes, or a time",
        why="Cloud Tasks has no dead letters: what it gives up is gone",
        fixes={
            Where.CLOUD_TASKS: google(
                "--max-attempts=-1 --max-retry-duration=0s", 'max_attempts = -1, max_retry_duration = "0s"'
            )
        },
        source=CLOUD_TASKS,
    ),
    Fault(
        id="backoff-short",
        severity=Severity.WARNING,
        what="the service pushes again within less than a minute, however long the worker is down",
        why="an outage of minutes uses up the messages' deliveries, and they are dead-lettered without a run",
        fixes={Where.CLOUD_TASKS: google("--max-backoff={right}", 'max_backoff = "{right}"')},
        source=CLOUD_TASKS,
    ),
    Fault(
        id="pushes-unbounded",
        severity=Severity.WARNING,
        what="the queue pushes as many messages at once as the service does by default",
        why="workers refuse what they can't run, and with that the service slows the whole queue down",
        fixes={Where.CLOUD_TASKS: google("--max-concurrent-dispatches={right}", "max_concurrent_dispatches = {right}")},
        source=CLOUD_TASKS,
    ),
    Fault(
        id="lease-short",
        severity=Severity.WARNING,
        what="the queue leases messages for less time than the tasks are leased for",
        why="Service Bus knows no other lease; on SQS a worker says its own, and other receivers don't",
        fixes={
            Where.SQS: sqs("VisibilityTimeout={right}", "visibility_timeout_seconds = {right}"),
            Where.SERVICE_BUS: azure("--lock-duration PT{right}S", "lock_seconds = {right}"),
        },
        source=f"{SQS_ATTRIBUTES}; {SERVICE_BUS}",
    ),
    Fault(
        id="request-timeout",
        severity=Severity.ERROR,
        what="the service that is pushed to ends a request before a task may end",
        why="the task is cut off in the middle, and pushed again",
        fixes={
            Where.CLOUD_TASKS: Fix(
                command="gcloud run services update SERVICE --timeout={right}", terraform='timeout = "{right}s"'
            )
        },
        source="Setting request timeout for services, Cloud Run documentation, 2026-11",
    ),
    Fault(
        id="lambda-visibility",
        severity=Severity.ERROR,
        what="the visibility timeout is less than six times the function's timeout",
        why="a batch that was throttled, or still runs, is handed to another function as well",
        fixes={Where.LAMBDA: sqs("VisibilityTimeout={right}", "visibility_timeout_seconds = {right}")},
        source=LAMBDA,
    ),
    Fault(
        id="lambda-timeout",
        severity=Severity.ERROR,
        what="the function's timeout ends before its tasks' time limit",
        why="Lambda ends the process in the middle of a task, and the whole batch comes again",
        fixes={
            Where.LAMBDA: Fix(
                command="aws lambda update-function-configuration --function-name {name} --timeout {right}",
                terraform="timeout = {right}",
            )
        },
        source=LAMBDA,
    ),
    Fault(
        id="lambda-no-time-limit",
        severity=Severity.ERROR,
        what="Lambda runs a task without a time limit, or with one that no function has the time for",
        why="nothing stops the task before Lambda ends the process",
        fixes={Where.LAMBDA: Fix(command="@task(time_limit=timedelta(minutes=5))")},
        source="Lambda quotas, AWS Lambda Guide, 2026-11",
    ),
    Fault(
        id="lambda-whole-batches",
        severity=Severity.ERROR,
        what="the Lambda mapping doesn't report failures one by one",
        why="what succeeded runs again, together with what failed",
        fixes={
            Where.LAMBDA: Fix(
                command="aws lambda update-event-source-mapping --uuid {right} "
                "--function-response-types ReportBatchItemFailures",
                terraform='function_response_types = ["ReportBatchItemFailures"]',
            )
        },
        source=LAMBDA,
    ),
)
