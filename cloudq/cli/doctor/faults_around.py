"""The faults of what is around the queues, as data: rights, clocks, ages, the store, the outbox, this program."""

from __future__ import annotations

from typing import Final

from cloudq.cli.doctor.fault import Fault, Fix, Severity, Where

_FUNCTIONS: Final = "host.json settings of the Service Bus bindings, Azure Functions reference, 2026-11"

FAULTS: Final = (
    # ── rights and time ──────────────────────────────────────────────────────────────────────────────────
    Fault(
        id="permission-missing",
        severity=Severity.ERROR,
        what="who runs this isn't allowed what a worker, or with --role producer a sender, does",
        why="the first call of its kind is denied: a retry or a dead letter can't be stored, say",
        fixes={
            Where.SQS: Fix(
                command="allow {right} in its policy: docs/reference/iam.md",
                terraform="the policies of terraform/aws-sqs: producer, worker",
            ),
            Where.CLOUD_TASKS: Fix(
                command="gcloud tasks queues add-iam-policy-binding {name} --location LOCATION --member MEMBER "
                "--role roles/cloudtasks.enqueuer",
                terraform="producers = {}, workers = {}  # of terraform/google-cloud-tasks",
            ),
            Where.SERVICE_BUS: Fix(
                command="az role assignment create --assignee PRINCIPAL --scope QUEUE_ID --role '{right}'",
                terraform="producers = {}, workers = {}  # of terraform/azure-service-bus",
            ),
        },
        source="the permissions of docs/reference/backends.md, checked by the test suite, 2026-11",
    ),
    Fault(
        id="clock-off",
        severity=Severity.WARNING,
        what="this machine's clock and the service's differ by more than ten seconds",
        why="delayed tasks run early or late, and a few minutes more have every signed request refused",
        fixes={
            where: Fix(command="let a time service set the clock: chronyc makestep; timedatectl set-ntp true")
            for where in (Where.SQS, Where.SERVICE_BUS)
        },
        source="Signature Version 4 request timestamps, AWS IAM User Guide, 2026-11",
    ),
    Fault(
        id="nearly-expired",
        severity=Severity.ERROR,
        what="the oldest message has used up three quarters of the time for which the service keeps it",
        why="what isn't run until then is deleted, and no log says so",
        fixes={
            where: Fix(command="start more workers, or find out what stops them: cloudq stats --queue {queue}")
            for where in (Where.SQS, Where.CLOUD_TASKS, Where.SERVICE_BUS)
        },
        source="the retention of docs/reference/backends.md, 2026-11",
    ),
    # ── the store of idempotency keys, the outbox ────────────────────────────────────────────────────────
    Fault(
        id="store-unusable",
        severity=Severity.ERROR,
        what="the store of idempotency keys can't be opened, or used as it is",
        why="a worker whose tasks have keys doesn't start, or runs nothing",
        fixes={Where.STORE: Fix(command="{right}")},
    ),
    Fault(
        id="store-grows",
        severity=Severity.WARNING,
        what="the store's DynamoDB table deletes nothing by itself",
        why="records that nobody asks for any more stay, and are paid for",
        fixes={
            Where.STORE: Fix(
                command="aws dynamodb update-time-to-live --table-name {name} "
                "--time-to-live-specification Enabled=true,AttributeName=expires_at",
                terraform='ttl { attribute_name = "expires_at", enabled = true }',
            )
        },
        source="DescribeTimeToLive, Amazon DynamoDB API Reference, 2026-11",
    ),
    Fault(
        id="keys-forgotten",
        severity=Severity.ERROR,
        what="messages may come for longer than the record of an idempotency key is kept",
        why="a repeat that comes after that runs the task a second time",
        fixes={
            Where.SERVICE_BUS: Fix(
                command="az servicebus queue update --resource-group GROUP --namespace-name NAMESPACE --name {name} "
                "--default-message-time-to-live P{right}D",
                terraform="ttl_seconds = {right} * 86400",
            ),
            Where.SQLITE: Fix(command="run the old messages, or purge them: cloudq worker; cloudq purge {queue}"),
        },
        source="docs/reference/stores.md, 2026-11",
    ),
    Fault(
        id="outbox-unusable",
        severity=Severity.ERROR,
        what="the outbox can't be opened, or its tables aren't there",
        why="transactions that send fail, or nothing of what they send is published",
        fixes={Where.OUTBOX: Fix(command="{right}")},
    ),
    Fault(
        id="outbox-late",
        severity=Severity.WARNING,
        what="the oldest message of the outbox has waited for more than a minute",
        why="no relay runs, or it doesn't keep up, or it can't store: tasks start that much later",
        fixes={Where.OUTBOX: Fix(command="cloudq outbox relay; cloudq outbox status tells what fails")},
    ),
    Fault(
        id="outbox-parked",
        severity=Severity.ERROR,
        what="messages of the outbox wait for a person",
        why="they are published by nobody, and hold back the later ones of their ordering keys",
        fixes={Where.OUTBOX: Fix(command="cloudq outbox status; then cloudq outbox retry ID, or skip ID")},
    ),
    # ── this program, this machine ───────────────────────────────────────────────────────────────────────
    Fault(
        id="sdk-faulty",
        severity=Severity.ERROR,
        what="a package is installed in a version that is known to lose messages, or to hang",
        why="what cloudq promises rests on it",
        fixes={Where.PROGRAM: Fix(command="pip install '{right}'")},
        source="the packages' own issues, named with each finding, 2026-11",
    ),
    Fault(
        id="sdk-vulnerable",
        severity=Severity.WARNING,
        what="a package that the backend takes is installed in a version with a published vulnerability",
        why="it reads what arrives from the network",
        fixes={Where.PROGRAM: Fix(command="pip install '{right}'")},
        source="the advisories named with each finding, 2026-11",
    ),
    Fault(
        id="tracer-care",
        severity=Severity.WARNING,
        what="a tracer is installed that needs care",
        why="it is around each call to the service",
        fixes={Where.PROGRAM: Fix(command="{right}")},
        source="docs/reference/compatibility.md, measured by the test suite, 2026-11",
    ),
    Fault(
        id="disk-nearly-full",
        severity=Severity.WARNING,
        what="the disk of the database has less than 256 MiB left",
        why="once it is full every send is refused, and workers can't note that a task is done",
        fixes={Where.SQLITE: Fix(command="free some space, or move the database: cloudq purge, cloudq store sweep")},
    ),
    Fault(
        id="disk-of-the-network",
        severity=Severity.ERROR,
        what="the database is on a file system of the network, or of another machine",
        why="SQLite's write-ahead log needs memory that all its users share: there the file can be damaged",
        fixes={Where.SQLITE: Fix(command="sqlite:////PATH on a local disk; or a hosted queue for several machines")},
        source="Write-Ahead Logging, sqlite.org/wal.html, 2026-11",
    ),
    # ── Azure Functions ──────────────────────────────────────────────────────────────────────────────────
    Fault(
        id="functions-timeout",
        severity=Severity.ERROR,
        what="functionTimeout of host.json ends before a task's time limit",
        why="the host ends the process in the middle of the task, and of all others in it",
        fixes={Where.FUNCTIONS: Fix(command='host.json: "functionTimeout": "{right}"')},
        source=_FUNCTIONS,
    ),
    Fault(
        id="functions-lock",
        severity=Severity.ERROR,
        what="maxAutoLockRenewalDuration of host.json ends before a task's time limit",
        why="the message is handed to another receiver while its task still runs",
        fixes={
            Where.FUNCTIONS: Fix(
                command='host.json: "extensions": {"serviceBus": {"maxAutoLockRenewalDuration": "{right}"}}'
            )
        },
        source=_FUNCTIONS,
    ),
)
