"""What KEDA takes: a model of its two resources, and the metadata keys of three of its scalers, each with its source.

The resources are modelled after the schemas of KEDA's own CRDs (kedacore/keda, config/crd/bases, August 2026), as far
as our manifests go: what isn't listed here is refused, as a field that KEDA doesn't know is by `kubectl apply`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import jsonschema

COUNT: Final = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}


def exactly(required: tuple[str, ...] = (), /, **properties: object) -> dict[str, object]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


TRIGGERS: Final = {
    "type": "array",
    "minItems": 1,
    "items": exactly(
        ("metadata", "type"),
        type={"type": "string"},
        name={"type": "string"},
        metadata={"type": "object", "additionalProperties": {"type": "string"}},
        authenticationRef=exactly(("name",), name={"type": "string"}, kind={"type": "string"}),
        metricType={"type": "string"},
        useCachedMetrics={"type": "boolean"},
    ),
}
SCALED_OBJECT: Final = exactly(
    ("scaleTargetRef", "triggers"),
    scaleTargetRef=exactly(("name",), name={"type": "string"}, kind={"type": "string"}, apiVersion={"type": "string"}),
    pollingInterval=COUNT,
    cooldownPeriod=COUNT,
    minReplicaCount=COUNT,
    maxReplicaCount=COUNT,
    triggers=TRIGGERS,
)
SCALED_JOB: Final = exactly(
    ("jobTargetRef", "triggers"),
    jobTargetRef=exactly(
        ("template",),
        parallelism=COUNT,
        completions=COUNT,
        backoffLimit=COUNT,
        activeDeadlineSeconds=COUNT,
        template={"type": "object"},
    ),
    pollingInterval=COUNT,
    minReplicaCount=COUNT,
    maxReplicaCount=COUNT,
    successfulJobsHistoryLimit=COUNT,
    failedJobsHistoryLimit=COUNT,
    rollout=exactly(
        strategy={"enum": ["gradual", "immediate"]}, propagationPolicy={"enum": ["foreground", "background"]}
    ),
    scalingStrategy=exactly(strategy={"enum": ["default", "custom", "accurate", "eager"]}),
    triggers=TRIGGERS,
)
TRIGGER_AUTHENTICATION: Final = exactly(
    ("podIdentity",),
    podIdentity=exactly(("provider",), provider={"enum": ["azure-workload", "gcp", "aws", "aws-eks", "none"]}),
)
SPECS: Final = {
    "ScaledObject": SCALED_OBJECT,
    "ScaledJob": SCALED_JOB,
    "TriggerAuthentication": TRIGGER_AUTHENTICATION,
}


class Keys(NamedTuple):
    """The metadata of a scaler."""

    source: str
    date: str
    required: frozenset[str]
    optional: frozenset[str]


SCALERS: Final[Mapping[str, Keys]] = {
    "aws-sqs-queue": Keys(
        "KEDA 2.20 documentation, scalers/aws-sqs; pkg/scalers/aws_sqs_queue_scaler.go",
        "2026-07-30",
        frozenset({"queueURL", "awsRegion"}),
        frozenset({"queueLength", "activationQueueLength", "scaleOnInFlight", "scaleOnDelayed", "awsEndpoint"}),
    ),
    "azure-servicebus": Keys(
        "KEDA 2.20 documentation, scalers/azure-service-bus; pkg/scalers/azure_servicebus_scaler.go",
        "2026-07-30",
        frozenset({"namespace"}),  # where the scaler counts by a pod identity
        frozenset({"queueName", "topicName", "subscriptionName", "messageCount", "activationMessageCount", "cloud"}),
    ),
    "gcp-cloudtasks": Keys(
        "KEDA 2.20 documentation, scalers/gcp-cloud-tasks; pkg/scalers/gcp_cloud_tasks_scaler.go",
        "2026-07-30",
        frozenset({"projectID", "queueName"}),
        frozenset({"value", "activationValue", "filterDuration"}),
    ),
}


def check(manifest: Mapping[str, Any]) -> None:
    """Refuses a manifest of KEDA's that KEDA would."""
    assert "keda.sh/v1alpha1" == manifest["apiVersion"]
    assert {"apiVersion", "kind", "metadata", "spec"} == set(manifest)
    jsonschema.validate(manifest["spec"], SPECS[manifest["kind"]])
    for trigger in manifest["spec"].get("triggers", ()):
        check_metadata(trigger["type"], trigger["metadata"])


def check_metadata(scaler: str, metadata: Mapping[str, str]) -> None:
    """Refuses metadata that a scaler doesn't know, or lacks."""
    keys = SCALERS[scaler]
    assert keys.required <= set(metadata) <= keys.required | keys.optional
    if scaler == "azure-servicebus":
        assert ("queueName" in metadata) != ("topicName" in metadata)
        assert ("topicName" in metadata) == ("subscriptionName" in metadata)
