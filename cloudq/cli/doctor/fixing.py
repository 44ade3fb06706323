"""The commands that set a queue's settings, as texts with places for what is at hand: see `Fix`."""

from __future__ import annotations

from typing import Final

from cloudq.cli.doctor.fault import Fix

SQS_ATTRIBUTES: Final = "GetQueueAttributes and SetQueueAttributes, Amazon SQS API Reference, 2026-11"
SQS_DEAD_LETTERS: Final = "Using dead-letter queues in Amazon SQS, Developer Guide, 2026-11"
LAMBDA: Final = "Creating and configuring an Amazon SQS event source mapping, AWS Lambda Developer Guide, 2026-11"
CLOUD_TASKS: Final = "Queue, Cloud Tasks RPC reference, 2026-11"
SERVICE_BUS: Final = "QueueDescription, Azure Service Bus Resource Manager reference, 2026-11"

REDRIVE: Final = (
    """'{"RedrivePolicy": "{\\"deadLetterTargetArn\\": \\"arn:aws:sqs:REGION:ACCOUNT:{dead}\\", """
    """\\"maxReceiveCount\\": {right}}"}'"""
)
REDRIVE_LINE: Final = (
    "redrive_policy = jsonencode({ deadLetterTargetArn = aws_sqs_queue.dead.arn, maxReceiveCount = {right} })"
)


def sqs(attributes: str, terraform: str | None = None, *, of: str = "{name}") -> Fix:
    """Sets attributes of a queue of SQS."""
    url = f'"$(aws sqs get-queue-url --queue-name {of} --query QueueUrl --output text)"'
    return Fix(command=f"aws sqs set-queue-attributes --queue-url {url} --attributes {attributes}", terraform=terraform)


def google(options: str, terraform: str | None = None) -> Fix:
    """Updates a queue of Cloud Tasks."""
    return Fix(command=f"gcloud tasks queues update {{name}} --location LOCATION {options}", terraform=terraform)


def azure(options: str, terraform: str | None = None) -> Fix:
    """Updates a queue of Service Bus."""
    place = "--resource-group GROUP --namespace-name NAMESPACE --name {name}"
    return Fix(command=f"az servicebus queue update {place} {options}", terraform=terraform)


def create(module: str) -> Fix:
    """Makes a queue and its dead-letter queue."""
    return Fix(command="cloudq queues create {queue}", terraform=f'queues = {{ "{{queue}}" = {{}} }}  # of {module}')
