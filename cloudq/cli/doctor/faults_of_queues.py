"""The faults of queues that aren't there, or aren't what the tasks take them for, as data. `queue_law` finds them."""

from __future__ import annotations

from typing import Final

from cloudq.cli.doctor.fault import Fault, Fix, Severity, Where
from cloudq.cli.doctor.fixing import CLOUD_TASKS, SERVICE_BUS, SQS_ATTRIBUTES, azure, create, google, sqs

FAULTS: Final = (
    Fault(
        id="queue-missing",
        severity=Severity.ERROR,
        what="there is no queue of that name",
        why="sends fail, and workers have nothing to work on",
        fixes={
            Where.SQS: create("terraform/aws-sqs"),
            Where.CLOUD_TASKS: create("terraform/google-cloud-tasks"),
            Where.SERVICE_BUS: create("terraform/azure-service-bus"),
        },
    ),
    Fault(
        id="dead-letter-queue-missing",
        severity=Severity.ERROR,
        what="there is no dead-letter queue",
        why="what fails for good can't be put away: it stays in the queue, and comes again and again",
        fixes={
            Where.SQS: create("terraform/aws-sqs"),
            Where.CLOUD_TASKS: create("terraform/google-cloud-tasks"),
        },
    ),
    Fault(
        id="service-cannot",
        severity=Severity.ERROR,
        what="the tasks declare what the service can't do",
        why="the worker refuses to start, or every send is refused",
        fixes={
            where: Fix(command="change the declaration, or choose another backend: docs/reference/backends.md")
            for where in (Where.SQS, Where.CLOUD_TASKS, Where.SERVICE_BUS)
        },
        source="the limits of docs/reference/backends.md, with their sources, 2026-11",
    ),
    Fault(
        id="queue-order",
        severity=Severity.ERROR,
        what="the queue's kind isn't what its name says: .fifo is ordered, all others aren't",
        why="sends or receives are refused by the service",
        fixes={
            Where.SQS: Fix(
                command="a queue's kind is for good: rename it in the tasks, or make it anew: "
                "cloudq queues create {queue}",
                terraform="fifo_queue = {right}",
            ),
            Where.SERVICE_BUS: Fix(
                command="sessions are for good: make the queue anew: cloudq queues create {queue}",
                terraform="requires_session = {right}",
            ),
        },
        source=f"{SQS_ATTRIBUTES}; {SERVICE_BUS}",
    ),
    Fault(
        id="queue-stopped",
        severity=Severity.ERROR,
        what="the queue is paused, or switched off",
        why="nothing is handed over, or nothing is taken, and what waits meets its retention",
        fixes={
            Where.CLOUD_TASKS: Fix(
                command="gcloud tasks queues resume {name} --location LOCATION", terraform='desired_state = "RUNNING"'
            ),
            Where.SERVICE_BUS: azure("--status Active", 'status = "Active"'),
            Where.SQS: Fix(command="cloudq resume {queue}"),
            Where.SQLITE: Fix(command="cloudq resume {queue}"),
            Where.LAMBDA: Fix(
                command="aws lambda update-event-source-mapping --uuid {right} --enabled", terraform="enabled = true"
            ),
        },
        source=f"{CLOUD_TASKS}; {SERVICE_BUS}",
    ),
    Fault(
        id="messages-small",
        severity=Severity.WARNING,
        what="the queue takes smaller messages than cloudq sends",
        why="larger ones are refused, and dead letters of near that size lose their details",
        fixes={
            Where.SQS: sqs("MaximumMessageSize={right}", "max_message_size = {right}"),
            Where.SERVICE_BUS: Fix(
                command="say it to cloudq as well: max_message={right} in the backend's URL",
                terraform="max_message_kilobytes = {right} / 1024",
            ),
        },
        source=f"{SQS_ATTRIBUTES}; {SERVICE_BUS}",
    ),
    Fault(
        id="ids-not-remembered",
        severity=Severity.WARNING,
        what="the backend's URL says that the queue knows repeated ids, and it doesn't, or for less time",
        why="a send that is tried again is stored twice",
        fixes={
            Where.SERVICE_BUS: Fix(
                command="it is for good: make the queue anew with it, or take dedup_window out of the URL",
                terraform="dedup_window_seconds = {right}",
            )
        },
        source=SERVICE_BUS,
    ),
    Fault(
        id="not-encrypted",
        severity=Severity.WARNING,
        what="messages are stored unencrypted",
        why="payloads are readable on the service's disks; auditors ask",
        fixes={Where.SQS: sqs("SqsManagedSseEnabled=true", "sqs_managed_sse_enabled = true")},
        source="Encryption at rest in Amazon SQS, Developer Guide, 2026-11",
    ),
    Fault(
        id="queue-delays",
        severity=Severity.WARNING,
        what="the queue holds each new message back",
        why="every task starts late, and retries wait for longer than their policy says",
        fixes={Where.SQS: sqs("DelaySeconds=0", "delay_seconds = 0")},
        source=SQS_ATTRIBUTES,
    ),
    Fault(
        id="messages-forwarded",
        severity=Severity.ERROR,
        what="the service passes the queue's messages on to another one",
        why="nobody can receive from it: the tasks never run here",
        fixes={Where.SERVICE_BUS: azure('--forward-to ""', "forward_to = null")},
        source=SERVICE_BUS,
    ),
    Fault(
        id="queue-deletes-itself",
        severity=Severity.ERROR,
        what="the service deletes the queue when nobody has used it for a while",
        why="a queue without work is gone, with its dead letters, and the next send fails",
        fixes={
            Where.SERVICE_BUS: azure("--auto-delete-on-idle P10675198D", "auto_delete_on_idle = null"),
        },
        source=SERVICE_BUS,
    ),
    Fault(
        id="pushed-elsewhere",
        severity=Severity.ERROR,
        what="the queue itself says where its messages are pushed to, and it isn't the target of the backend's URL",
        why="another service gets the messages, and its 200 deletes them",
        fixes={
            Where.CLOUD_TASKS: google("--clear-http-uri-override", "http_target: without uri_override"),
        },
        source=CLOUD_TASKS,
    ),
)
