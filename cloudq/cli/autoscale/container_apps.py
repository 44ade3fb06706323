"""Azure Container Apps: an app with KEDA's rule, or, where tasks take longer than it waits, a job that events start.

By Microsoft.App of azure-mgmt-appcontainers 5.1.0, the management SDK's models of what `az containerapp create --yaml`
and `az containerapp job create --yaml` take, and "Set scaling rules in Azure Container Apps" (2026-11).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cloudq.cli.autoscale.plan import HEALTH_PORT, Plan
from cloudq.cli.autoscale.triggers import Trigger
from cloudq.errors import ConfigurationError

LONGEST_TERMINATION: Final = 600
"""In seconds: the most of `terminationGracePeriodSeconds` (docs/how-to/deploy-container-apps.md)."""
MOST_REPLICAS: Final = 1000

_LOOK_EVERY: Final = 15
_COOL_DOWN: Final = 300
_STARTING: Final = 60
_CPU_AND_MEMORY: Final = {"cpu": 0.25, "memory": "0.5Gi"}
# The identity that the app itself has: it counts, and the worker works by it.
_SYSTEM: Final = "system"


def refuse_elsewhere(plan: Plan) -> None:
    """Refuses what Container Apps can't count in by an identity.

    Raises:
        ConfigurationError: The queue isn't on Service Bus, or there would be too many workers.
    """
    if plan.backend.scheme != "servicebus":
        raise ConfigurationError(
            f"Container Apps counts the messages of {plan.backend.scheme}:// by no identity of its own",
            hint="a queue of servicebus://; for SQS autoscale-config keda or cloudwatch",
        )
    if plan.most > MOST_REPLICAS:
        raise ConfigurationError(f"Container Apps runs at most {MOST_REPLICAS} replicas", hint="--max-workers 1000")


def needs_jobs(plan: Plan) -> bool:
    """Whether tasks may take longer than a replica that is scaled in may take to end."""
    return plan.termination > LONGEST_TERMINATION


def resource(plan: Plan, trigger: Trigger, environment: str | None) -> Mapping[str, object]:
    """What `az containerapp create --yaml`, or `az containerapp job create --yaml`, takes.

    Args:
        plan: The workers.
        trigger: What counts their messages, with one message a worker where there are jobs.
        environment: The resource ID of the environment; `None`: the app is there already.
    """
    properties = _job(plan, trigger) if needs_jobs(plan) else _app(plan, trigger)
    place = {} if environment is None else {"environmentId": environment}
    return {"identity": {"type": "SystemAssigned"}, "properties": {**place, **properties}}


def _app(plan: Plan, trigger: Trigger) -> Mapping[str, object]:
    container = {
        **_container(plan, "--concurrency", str(plan.concurrency), "--health", str(HEALTH_PORT)),
        "probes": [
            {
                "type": "Liveness",
                "httpGet": {"path": "/healthz", "port": HEALTH_PORT},
                "periodSeconds": 10,
                "failureThreshold": 6,
            },
            {"type": "Readiness", "httpGet": {"path": "/readyz", "port": HEALTH_PORT}},
        ],
    }
    custom = {"type": trigger.type, "metadata": dict(trigger.metadata), "identity": _SYSTEM}
    return {
        "configuration": {"activeRevisionsMode": "Single"},
        "template": {
            "terminationGracePeriodSeconds": plan.termination,
            "containers": [container],
            "scale": {
                "minReplicas": plan.least,
                "maxReplicas": plan.most,
                "pollingInterval": _LOOK_EVERY,
                "cooldownPeriod": _COOL_DOWN,
                "rules": [{"name": "backlog", "custom": custom}],
            },
        },
    }


def _job(plan: Plan, trigger: Trigger) -> Mapping[str, object]:
    rule = {"name": "backlog", "type": trigger.type, "metadata": dict(trigger.metadata), "identity": _SYSTEM}
    return {
        "configuration": {
            "triggerType": "Event",
            # A job that runs isn't scaled in; it is ended after this, from before its program has started.
            "replicaTimeout": plan.termination + _STARTING,
            # A message comes again by itself, to another job.
            "replicaRetryLimit": 0,
            "eventTriggerConfig": {
                "parallelism": 1,
                "replicaCompletionCount": 1,
                "scale": {
                    "minExecutions": plan.least,
                    "maxExecutions": plan.most,
                    "pollingInterval": _LOOK_EVERY,
                    "rules": [rule],
                },
            },
        },
        "template": {
            "containers": [
                _container(plan, "--burst", "--max-tasks", "1", "--concurrency", "1", "--prefetch", "0"),
            ],
        },
    }


def _container(plan: Plan, *options: str) -> Mapping[str, object]:
    return {
        "name": "worker",
        "image": plan.image,
        "args": list(plan.command(*options)),
        "env": [{"name": name, "value": value} for name, value in plan.environment()],
        "resources": _CPU_AND_MEMORY,
    }
