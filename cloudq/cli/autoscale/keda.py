"""KEDA's manifests: a Deployment and its ScaledObject, or, where tasks take longer than a node waits, a ScaledJob.

By KEDA 2.20's specifications of ScaledObject and ScaledJob (July 2026), and the FAQ of Kubernetes' Cluster Autoscaler.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from cloudq.cli.autoscale.plan import HEALTH_PORT, Plan
from cloudq.cli.autoscale.triggers import Trigger
from cloudq.errors import ConfigurationError

LONGEST_TERMINATION: Final = 600
"""In seconds. An autoscaler of nodes waits no longer by default before it takes a node back (`max-graceful-
termination-sec`; AKS, OpenShift: 2026-11), whatever a pod's own termination grace."""

# KEDA's own default is 30; half of that is what the pod autoscaler takes between two looks.
_LOOK_EVERY: Final = 15
# How long after the last message the last worker goes: KEDA's default.
_COOL_DOWN: Final = 300
_KEEP_JOBS: Final = 10

Manifest = Mapping[str, object]


def manifests(plan: Plan, trigger: Trigger) -> Sequence[Manifest]:
    """What `kubectl apply` takes.

    Args:
        plan: The workers.
        trigger: What counts their messages, with one message a worker where there are jobs: see `needs_jobs`.

    Raises:
        ConfigurationError: Tasks that are pushed take longer than a node waits.
    """
    jobs = needs_jobs(plan)
    scaled = _scaled_job(plan, trigger) if jobs else _scaled_object(plan, trigger)
    return (
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": plan.name}},
        *(() if jobs else (_deployment(plan),)),
        {
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "TriggerAuthentication",
            "metadata": {"name": plan.name},
            "spec": {"podIdentity": {"provider": trigger.identity}},
        },
        scaled,
    )


def needs_jobs(plan: Plan) -> bool:
    """Whether tasks may take longer than a node waits: then each has a job of its own, which nothing scales in.

    Raises:
        ConfigurationError: They do, and are pushed: a job has no address.
    """
    if plan.termination <= LONGEST_TERMINATION:
        return False
    if plan.backend.scheme == "cloudtasks":
        raise ConfigurationError(
            f"a worker needs {plan.termination} s to end, a node that is taken back waits for {LONGEST_TERMINATION}, "
            "and Cloud Tasks can't push to a job",
            hint="shorter tasks, by time_limit=; or a queue that is polled",
        )
    return True


def _deployment(plan: Plan) -> Manifest:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": plan.name},
        # No replicas: they are KEDA's.
        "spec": {
            "selector": {"matchLabels": {"app": plan.name}},
            "template": {
                "metadata": {"labels": _labels(plan)},
                "spec": {
                    "serviceAccountName": plan.name,
                    "terminationGracePeriodSeconds": plan.termination,
                    "containers": [_serving(plan)],
                },
            },
        },
    }


def _scaled_object(plan: Plan, trigger: Trigger) -> Manifest:
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": plan.name},
        "spec": {
            "scaleTargetRef": {"name": plan.name},
            # A push needs somebody to push to.
            "minReplicaCount": max(plan.least, 1) if _is_pushed(plan) else plan.least,
            "maxReplicaCount": plan.most,
            "pollingInterval": _LOOK_EVERY,
            "cooldownPeriod": _COOL_DOWN,
            "triggers": [_as_manifest(trigger, plan)],
        },
    }


def _scaled_job(plan: Plan, trigger: Trigger) -> Manifest:
    container = {
        **_container(plan, "--burst", "--max-tasks", "1", "--concurrency", "1", "--prefetch", "0"),
    }
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledJob",
        "metadata": {"name": plan.name},
        "spec": {
            "jobTargetRef": {
                "parallelism": 1,
                "completions": 1,
                # A message comes again by itself, to another job.
                "backoffLimit": 0,
                "template": {
                    "metadata": {
                        "labels": _labels(plan),
                        # The node of a job that runs isn't taken back.
                        "annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"},
                    },
                    "spec": {
                        "serviceAccountName": plan.name,
                        "restartPolicy": "Never",
                        "terminationGracePeriodSeconds": plan.termination,
                        "containers": [container],
                    },
                },
            },
            "minReplicaCount": plan.least,
            "maxReplicaCount": plan.most,
            "pollingInterval": _LOOK_EVERY,
            "successfulJobsHistoryLimit": _KEEP_JOBS,
            "failedJobsHistoryLimit": _KEEP_JOBS,
            # By default a change of this manifest ends the jobs that run.
            "rollout": {"strategy": "gradual"},
            # Jobs that run are taken off what is counted, in which their messages are.
            "scalingStrategy": {"strategy": "default"},
            "triggers": [_as_manifest(trigger, plan)],
        },
    }


def _container(plan: Plan, *options: str) -> dict[str, object]:
    return {
        "name": "worker",
        "image": plan.image,
        "args": list(plan.command(*options)),
        "env": [{"name": name, "value": value} for name, value in plan.environment()],
    }


def _serving(plan: Plan) -> Manifest:
    if _is_pushed(plan):
        port = str(HEALTH_PORT)
        options = ("--concurrency", str(plan.concurrency), "--host", "0.0.0.0", "--port", port)  # noqa: S104 - in its pod
        return {**_container(plan, *options), "ports": [{"containerPort": HEALTH_PORT}]}
    container = _container(plan, "--concurrency", str(plan.concurrency), "--health", str(HEALTH_PORT))
    return {
        **container,
        "livenessProbe": {
            "httpGet": {"path": "/healthz", "port": HEALTH_PORT},
            "periodSeconds": 10,
            "failureThreshold": 6,
        },
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": HEALTH_PORT}},
    }


def _labels(plan: Plan) -> Mapping[str, str]:
    labels = {"app": plan.name}
    if plan.backend.scheme == "servicebus":
        labels["azure.workload.identity/use"] = "true"
    return labels


def _is_pushed(plan: Plan) -> bool:
    return plan.backend.scheme == "cloudtasks"


def _as_manifest(trigger: Trigger, plan: Plan) -> Manifest:
    return {
        "type": trigger.type,
        "authenticationRef": {"name": plan.name},
        "metadata": dict(trigger.metadata),
    }
