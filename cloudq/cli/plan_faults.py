"""Where a Terraform plan doesn't fit the tasks' declarations. Pure: a plan's JSON and needs in, words out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import msgspec

from cloudq.cli.queue_needs import (
    MAX_LAMBDA_TIMEOUT,
    VISIBILITY_PER_TIMEOUT,
    Cloud,
    Needs,
    function_timeout,
    least_receives,
    lock_seconds,
    request_timeout,
    seconds,
    unfit,
)
from cloudq.core.message import dead_letter_queue, is_ordered
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
_SHORTEST_BACKOFF: Final = timedelta(minutes=1)
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
    """Each fault: the queue's name, and what doesn't fit there, in words.

    Args:
        planned: The plan.
        cloud: Whose queues are looked at.
        needs: What the tasks ask for.
        prefix: What the queues' names start with on the service.
    """
    found = planned.queues(cloud)
    for one in needs:
        for words in unfit(cloud, one):
            yield one.queue, words
        queue = found.get(prefix + one.queue)
        if queue is None:
            yield one.queue, f"the plan has no queue {prefix + one.queue!r}"
            continue
        dead_name = prefix + dead_letter_queue(one.queue)
        dead = found.get(dead_name)
        if dead is None and cloud is not Cloud.AZURE:
            yield one.queue, f"the plan has no dead-letter queue {dead_name!r}"
        if cloud is Cloud.AWS:
            said = _on_sqs(one, planned, queue, dead, dead_name)
        elif cloud is Cloud.GOOGLE:
            said = _on_cloud_tasks(one, planned, queue, dead)
        else:
            said = _on_service_bus(one, queue.values)
        for words in said:
            yield one.queue, words


def undeclared(planned: Planned, cloud: Cloud, needs: Sequence[Needs], prefix: str = "") -> list[str]:
    """The plan's queues that no task declares, dead-letter queues left out."""
    known = {prefix + name for one in needs for name in (one.queue, dead_letter_queue(one.queue))}
    return sorted(set(planned.queues(cloud)) - known)


def unknown(planned: Planned, cloud: Cloud, needs: Sequence[Needs], prefix: str = "") -> list[str]:
    """The declared queues whose redrive policy this plan can't tell: it will be known once it is applied."""
    found = planned.queues(cloud) if cloud is Cloud.AWS else {}
    queues = ((one.queue, found.get(prefix + one.queue)) for one in needs)
    return [name for name, queue in queues if queue is not None and planned.redrive(queue) is msgspec.UNSET]


def _on_sqs(
    needs: Needs, planned: Planned, resource: Resource, dead_resource: Resource | None, dead_name: str
) -> Iterator[str]:
    ordered = is_ordered(needs.queue)
    queue, dead = resource.values, None if dead_resource is None else dead_resource.values
    if bool(queue.get("fifo_queue")) is not ordered:
        yield f"fifo_queue is {_shown(queue.get('fifo_queue'))}, and its name says {_shown(ordered)}"
    visibility = queue.get("visibility_timeout_seconds") or 0
    if visibility < seconds(needs.lease):
        yield f"visibility_timeout_seconds is {visibility}, and its tasks are leased for {seconds(needs.lease)}"
    text = planned.redrive(resource)
    if text is not msgspec.UNSET:
        yield from _redrive(needs, text, dead_name)
    if dead is not None:
        if bool(dead.get("fifo_queue")) is not ordered:
            yield f"its dead-letter queue's fifo_queue is {_shown(not ordered)}, and the name says {_shown(ordered)}"
        for name in ("message_retention_seconds", "max_message_size"):
            own, theirs = queue.get(name), dead.get(name)
            if own is not None and theirs is not None and theirs < own:
                yield f"its dead-letter queue's {name} is {theirs}, and its own {own}: dead letters would be lost"
    mapping = planned.mapping(resource)
    if mapping is not None:
        function = planned.function(mapping)
        yield from _by_lambda(needs, mapping.values, None if function is None else function.values, visibility)


def _redrive(needs: Needs, text: str | None, dead_name: str) -> Iterator[str]:
    if text is None:
        yield "it has no redrive_policy: a message that kills its worker goes round forever"
        return
    try:
        policy = msgspec.json.decode(text, type=dict[str, Any])
        count = int(policy.get("maxReceiveCount", 0))
    except (msgspec.DecodeError, ValueError, TypeError):
        yield f"its redrive_policy is none: {text!r}"
        return
    target = str(policy.get("deadLetterTargetArn")).rpartition(":")[2]
    if target != dead_name:
        yield f"its redrive_policy is to {target!r}, and cloudq looks in {dead_name!r}"
    if count < least_receives(needs):
        yield f"maxReceiveCount is {count}, and {least_receives(needs)} is the least that lets the retry policy decide"


def _by_lambda(
    needs: Needs, mapping: Mapping[str, Any], function: Mapping[str, Any] | None, visibility: int
) -> Iterator[str]:
    if "ReportBatchItemFailures" not in (mapping.get("function_response_types") or ()):
        yield "its Lambda mapping doesn't have ReportBatchItemFailures: what succeeded would run again"
    if needs.longest is None:
        yield f"Lambda runs it, and task {needs.unlimited[0]!r} has no time_limit"
        return
    timeout = function_timeout(needs.longest)
    if timeout > seconds(MAX_LAMBDA_TIMEOUT):
        yield f"Lambda runs it, and a time_limit of {needs.longest} is more than a function has, {MAX_LAMBDA_TIMEOUT}"
        return
    planned = timeout if function is None else function.get("timeout") or 3  # Lambda's own default
    if planned < timeout:
        yield f"its function's timeout is {planned}, and {timeout} is the least that lets its tasks end"
    window = mapping.get("maximum_batching_window_in_seconds") or 0
    least = VISIBILITY_PER_TIMEOUT * max(timeout, planned) + window
    if visibility < least:
        more = " and the batching window" if window else ""
        yield f"visibility_timeout_seconds is {visibility}, and six times the function's time-out{more} are {least}"


def _on_cloud_tasks(
    needs: Needs, planned: Planned, resource: Resource, dead_resource: Resource | None
) -> Iterator[str]:
    queue, dead = resource.values, None if dead_resource is None else dead_resource.values
    if queue.get("desired_state") == "PAUSED":
        yield "it is paused: it pushes nothing"
    if dead is not None and dead.get("desired_state") != "PAUSED":
        yield "its dead-letter queue isn't paused: it would push dead letters"
    for name, values in (("", queue), ("its dead-letter queue's ", dead or {})):
        retry = next(iter(values.get("retry_config") or ()), None)
        if retry is None:
            if values:
                yield f"{name or 'its '}retry_config is missing: after 100 attempts Cloud Tasks deletes a message"
            continue
        if retry.get("max_attempts") != -1:
            yield f"{name}max_attempts is {retry.get('max_attempts')}, not -1: then Cloud Tasks deletes a message"
        if _span(retry.get("max_retry_duration")) > timedelta(0):
            yield f"{name}max_retry_duration is {retry['max_retry_duration']}: after that Cloud Tasks deletes a message"
    retry = next(iter(queue.get("retry_config") or ()), None)
    backoff = None if retry is None else retry.get("max_backoff")
    if backoff is not None and _span(backoff) < _SHORTEST_BACKOFF:
        yield f"max_backoff is {backoff}: an outage of the worker uses up the messages' deliveries; 60s at least"
    service = planned.service(resource)
    if service is not None:
        template: dict[str, Any] = next(iter(service.values.get("template") or ()), {})
        timeout, least = template.get("timeout") or _REQUEST, request_timeout([needs])
        if _span(timeout) < timedelta(seconds=least):
            yield f"its Cloud Run service's timeout is {timeout}, and a push may take {least} seconds"


def _on_service_bus(needs: Needs, queue: Mapping[str, Any]) -> Iterator[str]:
    ordered = is_ordered(needs.queue)
    if bool(queue.get("requires_session")) is not ordered:
        yield f"requires_session is {_shown(queue.get('requires_session'))}, and its name says {_shown(ordered)}"
    lock = queue.get("lock_duration") or _LOCK
    if _iso(lock) < timedelta(seconds=lock_seconds(needs)):
        yield f"lock_duration is {lock}, and its tasks are leased for {lock_seconds(needs)} seconds"
    count = queue.get("max_delivery_count") or 10  # the service's own default
    if count <= needs.deliveries:
        least = needs.deliveries + 1
        yield f"max_delivery_count is {count}, and {least} is the least that lets the retry policy decide"
    if queue.get("dead_lettering_on_message_expiration") is not True:
        yield "dead_lettering_on_message_expiration is off: what expires is lost"


def _shown(value: object) -> str:
    return "on" if value else "off"


def _span(text: object) -> timedelta:
    found = _SPAN.fullmatch(str(text))
    return timedelta(seconds=float(found.group(1))) if found else timedelta(0)


def _iso(text: object) -> timedelta:
    found = _ISO.fullmatch(str(text))
    days, hours, minutes, rest = (int(part or 0) for part in found.groups()) if found else (0, 0, 0, 0)
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=rest)
