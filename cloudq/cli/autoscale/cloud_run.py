"""Google Cloud Run: a worker pool, scaled by CREMA (Cloud Run External Metrics Autoscaling), which runs KEDA's scalers.

By CREMA's own description of its configuration (June 2026, for KEDA 2.20), and "Container runtime contract" of Cloud
Run (2026-11).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from cloudq.cli.autoscale.plan import LEAVING, Plan
from cloudq.cli.autoscale.triggers import Trigger
from cloudq.errors import ConfigurationError, OptionError

TERMINATION: Final = 10
"""In seconds: from SIGTERM to SIGKILL, which can't be changed."""

_POOL: Final = re.compile(r"projects/[a-z0-9.:-]+/locations/[a-z0-9-]+/workerpools/[a-z0-9-]+", re.IGNORECASE)
_LOOK_EVERY: Final = 30
# Names of secrets in Google's Secret Manager, by the parameters of KEDA's scalers that they are for.
_SECRETS: Final[Mapping[str, Mapping[str, str]]] = {
    "aws-sqs-queue": {"awsAccessKeyID": "cloudq-aws-key-id", "awsSecretAccessKey": "cloudq-aws-secret-key"},
    "azure-servicebus": {"connection": "cloudq-servicebus-connection"},
}


def refuse_elsewhere(plan: Plan) -> None:
    """Refuses what a worker pool can't run to its end.

    Raises:
        ConfigurationError: The queue pushes by itself, or a task may take longer than Cloud Run waits.
    """
    if plan.backend.scheme == "cloudtasks":
        raise ConfigurationError(
            "Cloud Tasks pushes, so nobody polls in a worker pool: Cloud Run scales a service by its requests itself",
            hint="set max_instance_count and max_instance_request_concurrency of the service, and their product as "
            "max_concurrent_dispatches of the queue: docs/how-to/deploy-cloud-run-push.md",
        )
    if plan.termination > TERMINATION:
        longest = TERMINATION - LEAVING.total_seconds() - plan.grace.total_seconds()
        raise ConfigurationError(
            f"Cloud Run kills {TERMINATION} s after SIGTERM, and a worker needs {plan.termination} s to end",
            hint=f"time limits up to {longest:g} s; for longer tasks autoscale-config keda, which makes jobs of them",
        )


def checked_pool(pool: str | None) -> str:
    """The worker pool's full name.

    Raises:
        OptionError: It is none.
    """
    hint = "--worker-pool projects/PROJECT/locations/REGION/workerpools/NAME"
    if pool is None:
        raise OptionError("CREMA takes the worker pool's full name", hint=hint)
    if not _POOL.fullmatch(pool):
        raise OptionError(f"--worker-pool {pool!r} is no worker pool's full name", hint=hint)
    return pool


def secrets_of(trigger: Trigger) -> Sequence[str]:
    """The names of the secrets by which CREMA counts: it knows no other credentials for queues of other clouds."""
    return tuple(_SECRETS[trigger.type].values())


def configuration(plan: Plan, trigger: Trigger, pool: str) -> Mapping[str, object]:
    """CREMA's configuration.

    Args:
        plan: The workers.
        trigger: What counts their messages.
        pool: The full name of the worker pool that runs them.
    """
    secrets = [
        {"parameter": parameter, "id": secret, "version": "latest"}
        for parameter, secret in _SECRETS[trigger.type].items()
    ]
    return {
        "apiVersion": "crema/v1",
        "kind": "CremaConfig",
        "spec": {
            "pollingInterval": _LOOK_EVERY,
            "triggerAuthentications": [
                {"metadata": {"name": plan.name}, "spec": {"gcpSecretManager": {"secrets": secrets}}},
            ],
            "scaledObjects": [
                {
                    "spec": {
                        "scaleTargetRef": {"name": pool},
                        "minReplicaCount": plan.least,
                        "maxReplicaCount": plan.most,
                        "triggers": [
                            {
                                "type": trigger.type,
                                "name": plan.name,
                                "metadata": dict(trigger.metadata),
                                "authenticationRef": {"name": plan.name},
                            }
                        ],
                    }
                }
            ],
        },
    }
