"""Where a Terraform plan doesn't fit the tasks' declarations. Pure: a plan's JSON and needs in, words out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import msgspec

from cloudq.cli.doctor.fault import Finding
from cloudq.cli.doctor.lambda_law import Mapped, judge_mapping
from cloudq.cli.doctor.queue_law import PLANNED, Looked, judge
from cloudq.cli.queue_needs import Cloud, Needs, request_timeout
from cloudq.core.message import dead_letter_queue
from cloudq.core.queue_settings import QueueSettings
from cloudq.errors import ConfigurationError

QUEUES: Final = {
    Cloud.AWS: "aws_sqs_queue",
    Cloud.GOOGLE: "google_cloud_tasks_queue",
    Cloud.AZURE: "azurerm_servicebus_queue",
}
_MAPPING: Final = "aws_lambda_event_source_mapping"
_FUNCTION: Final = "aws_lambda_function"
_REDRIVE: Final = "aws_sqs_queue_redrive_policy"
_SERVICE: Final = "google_cloud_run_v2_service"
_INVOKER: Final = "google_cloud_run_v2_service_iam_member"
_MODULES: Final = re.compile(r'(?:module\.[^.\[]+(?:\[(?:"[^"]*"|\d+)\])?\.)*')
# What the services themselves take where a plan says nothing.
_LOCK: Final = "PT1M"
_REQUEST: Final = "300s"
_ENDLESS: Final = -1
_ATTEMPTS: Final = 100
_DELIVERIES: Final = 10
_FUNCTION_TIMEOUT: Final = 3
_ISO: Final = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")
_SPAN: Final = re.compile(r"([0-9.]+)s")


class Resource(msgspec.Struct, frozen=True):
    """A resource that a plan has."""

    type: str
    address: str
    index: str | int | None = None
    values: dict[str, Any] = {}

    @property
    def module(self) -> str:
        """The address of the module call that it is of."""
        found = _MODULES.match(self.address)
        return found.group() if found else ""


class Planned:
    """What a plan would have there.

    Args:
        document: `terraform show -json` of a plan, decoded.

    Raises:
        ConfigurationError: It is none.
    """

    def __init__(self, document: object) -> None:
        values = document.get("planned_values") if isinstance(document, dict) else None
        if (
            not isinstance(document, dict)
            or not isinstance(values, dict)
            or not isinstance(values.get("root_module"), dict)
        ):
            raise ConfigurationError(
                "this is no plan's JSON: it has no planned_values",
                hint="terraform plan -out=plan && terraform show -json plan > plan.json",
            )
        try:
            self.resources = [msgspec.convert(one, Resource) for one in _resources(values["root_module"])]
            self._unknown = {
                one["address"]: one["change"].get("after_unknown") or {} for one in document.get("resource_changes", ())
            }
        except (msgspec.ValidationError, AttributeError, KeyError, TypeError) as error:
            raise ConfigurationError(f"this is no plan's JSON: {error}") from error

    def clouds(self) -> list[Cloud]:
        """Whose queues it has."""
        types = {resource.type for resource in self.resources}
        return [cloud for cloud, type_ in QUEUES.items() if type_ in types]

    def queues(self, cloud: Cloud) -> Mapping[str, Resource]:
        """A cloud's queues by their names; what only the service will know isn't in their values."""
        return {str(one.values.get("name")): one for one in self._of(QUEUES[cloud])}

    def redrive(self, queue: Resource) -> str | msgspec.UnsetType | None:
        """The redrive policy of a queue, on it or beside it; unset where it is known only once it is applied."""
        if queue.values.get("redrive_policy") is not None:
            return str(queue.values["redrive_policy"])
        if self._after_apply(queue, "redrive_policy"):
            return msgspec.UNSET
        for beside in self._of(_REDRIVE):
            url = beside.values.get("queue_url")
            if url is None and beside.module == queue.module:
                return msgspec.UNSET
            if url is not None and str(url).rpartition("/")[2] == queue.values.get("name"):
                policy = beside.values.get("redrive_policy")
                return msgspec.UNSET if policy is None else str(policy)
        return None

    def mapping(self, queue: Resource) -> Resource | None:
        """The Lambda mapping of a queue: by its ARN, or, while that is unknown, by the module's key for both."""
        for one in self._of(_MAPPING):
            arn = one.values.get("event_source_arn")
            if arn is not None:
                if str(arn).rpartition(":")[2] == queue.values.get("name"):
                    return one
            elif one.index is not None and (one.module, one.index) == (queue.module, queue.index):
                return one
        return None

    def function(self, mapping: Resource) -> Resource | None:
        """The function that a Lambda mapping is to, if the plan has it."""
        name = str(mapping.values.get("function_name")).rpartition(":function:")[2].partition(":")[0]
        return next((one for one in self._of(_FUNCTION) if one.values.get("function_name") == name), None)

    def service(self, queue: Resource) -> Resource | None:
        """The Cloud Run service that the module of a queue lets its pushes call, if the plan has it."""
        called = {one.values.get("name") for one in self._of(_INVOKER) if one.module == queue.module}
        return next((one for one in self._of(_SERVICE) if one.values.get("name") in called), None)

    def _of(self, type_: str) -> Iterator[Resource]:
        return (one for one in self.resources if one.type == type_)

    def _after_apply(self, resource: Resource, name: str) -> bool:
        return self._unknown.get(resource.address, {}).get(name) is True


def _resources(module: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from module.get("resources", ())
    for child in module.get("child_modules", ()):
        yield from _resources(child)


def faults(planned: Planned, cloud: Cloud, needs: Sequence[Needs], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Each fault: the queue's name, and what doesn't fit there, in words. By the law of `cloudq doctor`.

    Args:
        planned: The plan.
        cloud: Whose queues are looked at.
        needs: What the tasks ask for.
        prefix: What the queues' names start with on the service.
    """
    found = planned.queues(cloud)
    for one in needs:
        resource, dead = found.get(prefix + one.queue), found.get(prefix + dead_letter_queue(one.queue))
        looked = Looked(
            cloud=cloud,
            queue=one.queue,
            native=prefix + one.queue,
            settings=None if resource is None else settings(cloud, planned, resource),
            dead=None if dead is None else settings(cloud, planned, dead),
            vocabulary=PLANNED,
            needs=one,
        )
        for finding in judge(looked):
            yield one.queue, finding.what
        if resource is not None:
            for finding in _around(planned, cloud, resource, looked):
                yield one.queue, finding.what


def undeclared(planned: Planned, cloud: Cloud, needs: Sequence[Needs], prefix: str = "") -> list[str]:
    """The plan's queues that no task declares, dead-letter queues left out."""
    known = {prefix + name for one in needs for name in (one.queue, dead_letter_queue(one.queue))}
    return sorted(set(planned.queues(cloud)) - known)


def unknown(planned: Planned, cloud: Cloud, needs: Sequence[Needs], prefix: str = "") -> list[str]:
    """The declared queues whose redrive policy this plan can't tell: it will be known once it is applied."""
    found = planned.queues(cloud) if cloud is Cloud.AWS else {}
    queues = ((one.queue, found.get(prefix + one.queue)) for one in needs)
    return [name for name, queue in queues if queue is not None and planned.redrive(queue) is msgspec.UNSET]


def settings(cloud: Cloud, planned: Planned, resource: Resource) -> QueueSettings:
    """How a plan would set a queue up; what it leaves to the service is what that sets by itself."""
    if cloud is Cloud.AWS:
        return _of_sqs(resource.values, planned.redrive(resource))
    return _of_cloud_tasks(resource.values) if cloud is Cloud.GOOGLE else _of_service_bus(resource.values)


def _of_sqs(values: Mapping[str, Any], redrive: str | msgspec.UnsetType | None) -> QueueSettings:
    policy = _object(redrive) if isinstance(redrive, str) else {}
    target = policy.get("deadLetterTargetArn")
    # A policy that can't be read is none.
    to: str | msgspec.UnsetType | None = None if target is None else str(target).rpartition(":")[2]
    keyed = values.get("kms_master_key_id") is not None
    return QueueSettings(
        name=str(values.get("name")),
        ordered=bool(values.get("fifo_queue")),
        lease=timedelta(seconds=values.get("visibility_timeout_seconds") or 0),
        max_deliveries=_whole(policy.get("maxReceiveCount")),
        dead_letters_to=msgspec.UNSET if redrive is msgspec.UNSET else to,
        retention=_seconds(values.get("message_retention_seconds")),
        max_message=values.get("max_message_size"),
        delay=timedelta(seconds=values.get("delay_seconds") or 0),
        encrypted=False if values.get("sqs_managed_sse_enabled") is False and not keyed else None,
    )


def _of_cloud_tasks(values: Mapping[str, Any]) -> QueueSettings:
    retry: Mapping[str, Any] = next(iter(values.get("retry_config") or ()), {})
    rates: Mapping[str, Any] = next(iter(values.get("rate_limits") or ()), {})
    attempts = retry.get("max_attempts") or _ATTEMPTS
    backoff = retry.get("max_backoff")
    state = values.get("desired_state")
    return QueueSettings(
        name=str(values.get("name")),
        stopped="paused" if state == "PAUSED" else None,
        max_deliveries=None if attempts == _ENDLESS else attempts,
        gives_up_after=_span(retry.get("max_retry_duration")),
        max_backoff=None if backoff is None else _span(backoff),
        max_concurrent=rates.get("max_concurrent_dispatches"),
    )


def _of_service_bus(values: Mapping[str, Any]) -> QueueSettings:
    forwarded = values.get("forward_dead_lettered_messages_to")
    return QueueSettings(
        name=str(values.get("name")),
        stopped=None if values.get("status") in {None, "Active"} else str(values["status"]),
        ordered=bool(values.get("requires_session")),
        lease=_iso(values.get("lock_duration") or _LOCK),
        max_deliveries=values.get("max_delivery_count") or _DELIVERIES,
        dead_letters_to=forwarded or msgspec.UNSET,
        keeps_expired=values.get("dead_lettering_on_message_expiration") is True,
        forwards_to=values.get("forward_to") or None,
    )


def _around(planned: Planned, cloud: Cloud, resource: Resource, looked: Looked) -> Iterator[Finding]:
    """What of the plan runs the queue's messages: a Lambda mapping with its function, a Cloud Run service."""
    mapping = planned.mapping(resource) if cloud is Cloud.AWS else None
    if mapping is not None:
        function = planned.function(mapping)
        mapped = Mapped(
            function=str(mapping.values.get("function_name")),
            enabled=mapping.values.get("enabled") is not False,
            one_by_one="ReportBatchItemFailures" in (mapping.values.get("function_response_types") or ()),
            window=mapping.values.get("maximum_batching_window_in_seconds") or 0,
            timeout=None if function is None else function.values.get("timeout") or _FUNCTION_TIMEOUT,
        )
        yield from judge_mapping(looked, mapped)
    service = planned.service(resource) if cloud is Cloud.GOOGLE else None
    if service is not None and looked.needs is not None:
        template: dict[str, Any] = next(iter(service.values.get("template") or ()), {})
        timeout, least = template.get("timeout") or _REQUEST, request_timeout([looked.needs])
        if _span(timeout) < timedelta(seconds=least):
            words = f"its Cloud Run service's timeout is {timeout}, and a push may take {least} seconds"
            yield looked.found("request-timeout", words, least)


def _object(text: str) -> Mapping[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError:
        return {}


def _whole(value: object) -> int | None:
    try:
        return int(str(value))
    except ValueError:
        return None


def _seconds(value: int | None) -> timedelta | None:
    return None if value is None else timedelta(seconds=value)


def _span(text: object) -> timedelta:
    found = _SPAN.fullmatch(str(text))
    return timedelta(seconds=float(found.group(1))) if found else timedelta(0)


def _iso(text: object) -> timedelta:
    found = _ISO.fullmatch(str(text))
    days, hours, minutes, rest = (int(part or 0) for part in found.groups()) if found else (0, 0, 0, 0)
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=rest)
