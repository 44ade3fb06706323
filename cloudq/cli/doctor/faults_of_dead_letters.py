"""The faults of where dead letters go, as data. `queue_law` finds them."""

from __future__ import annotations

from typing import Final

from cloudq.cli.doctor.fault import Fault, Fix, Severity, Where
from cloudq.cli.doctor.fixing import CLOUD_TASKS, REDRIVE, REDRIVE_LINE, SERVICE_BUS, SQS_DEAD_LETTERS, azure, sqs

FAULTS: Final = (
    Fault(
        id="redrive-missing",
        severity=Severity.ERROR,
        what="the queue has no redrive policy",
        why="a message that kills its worker goes round until it expires, and takes worker after worker along",
        fixes={Where.SQS: sqs(REDRIVE, REDRIVE_LINE)},
        source=SQS_DEAD_LETTERS,
    ),
    Fault(
        id="dead-letters-elsewhere",
        severity=Severity.ERROR,
        what="the service moves dead letters to another queue than the one that cloudq looks in",
        why="`cloudq dlq` doesn't see them, and nobody redrives them",
        fixes={
            Where.SQS: sqs(REDRIVE, REDRIVE_LINE),
            Where.SERVICE_BUS: azure(
                '--forward-dead-lettered-messages-to ""', "forward_dead_lettered_messages_to = null"
            ),
        },
        source=f"{SQS_DEAD_LETTERS}; {SERVICE_BUS}",
    ),
    Fault(
        id="dead-letters-refused",
        severity=Severity.ERROR,
        what="the dead-letter queue's redrive-allow policy keeps this queue's dead letters out",
        why="the service may move nothing into it: the backstop for messages that kill their worker is missing",
        fixes={
            Where.SQS: sqs(
                """'{"RedriveAllowPolicy": "{\\"redrivePermission\\": \\"byQueue\\", \\"sourceQueueArns\\": """
                """[\\"arn:aws:sqs:REGION:ACCOUNT:{name}\\"]}"}'""",
                'redrive_allow_policy = jsonencode({ redrivePermission = "byQueue", sourceQueueArns = [QUEUE_ARN] })',
                of="{dead}",
            )
        },
        source=SQS_DEAD_LETTERS,
    ),
    Fault(
        id="dead-letter-queue-order",
        severity=Severity.ERROR,
        what="the dead-letter queue of a FIFO queue isn't a FIFO queue, or the other way round",
        why="the service moves nothing into it",
        fixes={
            Where.SQS: Fix(
                command="make one of the right kind: cloudq queues create {queue}", terraform="fifo_queue = {right}"
            )
        },
        source=SQS_DEAD_LETTERS,
    ),
    Fault(
        id="dead-letter-retention",
        severity=Severity.ERROR,
        what="the dead-letter queue doesn't keep messages for longer than the queue",
        why="dead letters expire before anybody looks: on a standard queue their time counts on from the first send",
        fixes={
            Where.SQS: sqs(
                "MessageRetentionPeriod={right}",
                "message_retention_seconds = {right}  # of the dead-letter queue",
                of="{dead}",
            )
        },
        source=SQS_DEAD_LETTERS,
    ),
    Fault(
        id="dead-letter-queue-moves-on",
        severity=Severity.ERROR,
        what="the dead-letter queue passes dead letters on by itself",
        why="each look at dead letters receives them, and after that many looks they are somewhere else",
        fixes={Where.SQS: sqs("RedrivePolicy=", "redrive_policy = null  # of the dead-letter queue", of="{dead}")},
        source=SQS_DEAD_LETTERS,
    ),
    Fault(
        id="dead-letter-queue-pushes",
        severity=Severity.ERROR,
        what="the dead-letter queue isn't paused",
        why="once its dead letters are due it pushes them to the worker, which refuses them",
        fixes={
            Where.CLOUD_TASKS: Fix(
                command="gcloud tasks queues pause {dead} --location LOCATION", terraform='desired_state = "PAUSED"'
            )
        },
        source=CLOUD_TASKS,
    ),
    Fault(
        id="expired-are-lost",
        severity=Severity.ERROR,
        what="what expires is deleted, not dead-lettered",
        why="a message whose time to live is over is lost, and no log says so",
        fixes={
            Where.SERVICE_BUS: azure(
                "--enable-dead-lettering-on-message-expiration true", "dead_lettering_on_message_expiration = true"
            )
        },
        source=SERVICE_BUS,
    ),
)
