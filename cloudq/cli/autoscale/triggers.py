"""KEDA's triggers: by which of its scalers a queue's messages are counted, those in flight included.

By KEDA 2.20's pages on `aws-sqs-queue`, `azure-servicebus` and `gcp-cloudtasks` (July 2026). KEDA takes all metadata as
texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from cloudq.cli.autoscale.plan import Plan, required_host
from cloudq.drivers.service_bus.limits import is_subscription
from cloudq.errors import ConfigurationError

_URL_PREFIX: Final = "https://"
_NAMESPACES: Final[Mapping[str, str]] = {
    ".servicebus.windows.net": "AzurePublicCloud",
    ".servicebus.usgovcloudapi.net": "AzureUSGovernmentCloud",
}


class Trigger(msgspec.Struct, frozen=True, kw_only=True):
    """One trigger.

    Attributes:
        type: The scaler's name.
        metadata: What it takes.
        identity: KEDA's name of the pod identity by which it may count; see its page "Authentication providers".
    """

    type: str
    metadata: Mapping[str, str]
    identity: str


def trigger(plan: Plan, *, account: str | None, per_worker: int | None = None) -> Trigger:
    """The trigger for a plan's queue.

    Args:
        plan: The plan.
        account: The AWS account that the queue is in, where the backend's URL doesn't say.
        per_worker: Instead of the plan's own number.

    Raises:
        ConfigurationError: There is none for its backend, or the backend's URL says too little.
    """
    count = str(plan.per_worker if per_worker is None else per_worker)
    match plan.backend.scheme:
        case "sqs":
            return Trigger(type="aws-sqs-queue", metadata=_sqs(plan, account, count), identity="aws")
        case "servicebus":
            return Trigger(type="azure-servicebus", metadata=_service_bus(plan, count), identity="azure-workload")
        case "cloudtasks":
            return Trigger(
                type="gcp-cloudtasks",
                metadata={
                    "projectID": plan.backend.host,
                    "queueName": plan.native_queue,
                    "value": count,
                },
                identity="gcp",
            )
    raise ConfigurationError(
        f"nothing scales workers by a queue of {plan.backend.scheme}://: it is on one machine",
        hint="run more at once there: cloudq worker --concurrency N, or --processes N",
    )


def _sqs(plan: Plan, account: str | None, count: str) -> Mapping[str, str]:
    region = required_host(plan)
    metadata = {
        "queueURL": queue_url(plan, account),
        "awsRegion": region,
        "queueLength": count,
        # KEDA's own defaults, said all the same: what runs depends on the first.
        "scaleOnInFlight": "true",
        "scaleOnDelayed": "false",
    }
    endpoint = plan.backend.parameters.get("endpoint_url")
    return metadata if endpoint is None else {**metadata, "awsEndpoint": endpoint}


def queue_url(plan: Plan, account: str | None) -> str:
    """The URL of a queue of SQS.

    Args:
        plan: The plan.
        account: The account, where the backend's URL doesn't say.

    Raises:
        ConfigurationError: The account isn't known.
    """
    if plan.queue.startswith(_URL_PREFIX):
        return plan.queue
    owner = plan.backend.parameters.get("account", account)
    if owner is None:
        raise ConfigurationError(
            f"the URL of queue {plan.queue!r} takes the AWS account that it is in", hint="--account 123456789012"
        )
    region = required_host(plan)
    # Other partitions have names of their own: there a queue is named by its URL.
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"{_URL_PREFIX}sqs.{region}.{domain}/{owner}/{plan.native_queue}"


def _service_bus(plan: Plan, count: str) -> Mapping[str, str]:
    host = required_host(plan)
    suffix = next((suffix for suffix in _NAMESPACES if host.endswith(suffix)), None)
    if suffix is None:
        raise ConfigurationError(
            f"{host} is no namespace that KEDA's scaler is known to take",
            hint="servicebus://NAMESPACE.servicebus.windows.net",
        )
    metadata = {"namespace": host.removesuffix(suffix), "messageCount": count}
    if _NAMESPACES[suffix] != "AzurePublicCloud":
        metadata["cloud"] = _NAMESPACES[suffix]
    if is_subscription(plan.native_queue):
        topic, _, subscription = plan.native_queue.partition("/Subscriptions/")
        return {**metadata, "topicName": topic, "subscriptionName": subscription}
    return {**metadata, "queueName": plan.native_queue}
