"""What AWS runs beside the queues: Lambda's mappings of them with their functions, and CloudWatch's look at their age.

By ListEventSourceMappings, GetFunctionConfiguration (AWS Lambda API Reference) and GetMetricStatistics (Amazon
CloudWatch API Reference), 2026-11: they only read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, Final

from cloudq.app import App
from cloudq.cli.doctor.fault import Finding, Unchecked
from cloudq.cli.doctor.lambda_law import Mapped, judge_mapping
from cloudq.cli.doctor.queue_law import Looked
from cloudq.core.clock import Clock
from cloudq.errors import CloudqError

# Of what is asked of these two, where SQS's own clients have theirs.
_READ: Final = 10.0
_POOL: Final = 4
_MOST: Final = 100
# CloudWatch learns of a queue's age every minute, while the queue is in use ("Available CloudWatch metrics for Amazon
# SQS", Developer Guide, 2026-11).
_AGE: Final = "ApproximateAgeOfOldestMessage"
_SINCE: Final = timedelta(minutes=15)


class Amazon:
    """The services of AWS beside SQS, in the region and at the endpoint of an app's queues.

    Args:
        app: On SQS.
        clock: The time, for what is asked of the last minutes.
    """

    def __init__(self, app: App, clock: Clock) -> None:
        self._of_queues = app.driver().client.meta  # type: ignore[attr-defined]  # SQS's driver has it
        self._clock = clock
        self._clients: dict[str, Any] = {}

    def findings(self, looked: Looked) -> Iterator[Finding | Unchecked]:
        """What is wrong with the mappings of a queue."""
        arn = None if looked.settings is None else looked.settings.resource
        if arn is None:
            return
        what = f"the Lambda mappings of queue {looked.queue!r}"
        try:
            mapped = [self._mapped(one) for one in self._mappings(arn)]
        except Exception as error:  # noqa: BLE001 - it may be denied, down, or not there: whatever it is, it is said
            rights = "lambda:ListEventSourceMappings, lambda:GetFunctionConfiguration"
            yield Unchecked(what=what, why=_why(error, rights))
            return
        for one in mapped:
            yield from judge_mapping(looked, one)

    def oldest_age(self, looked: Looked) -> timedelta | Unchecked | None:
        """How old a queue's oldest message is, as CloudWatch saw it in the last minutes; `None`: it saw none."""
        try:
            answer = self._client("cloudwatch").get_metric_statistics(
                Namespace="AWS/SQS",
                MetricName=_AGE,
                Dimensions=[{"Name": "QueueName", "Value": looked.native}],
                StartTime=self._clock.now() - _SINCE,
                EndTime=self._clock.now() + timedelta(minutes=1),
                Period=60,
                Statistics=["Maximum"],
            )
        except Exception as error:  # noqa: BLE001 - as above
            return Unchecked(
                what=f"the age of the oldest message of queue {looked.queue!r}",
                why=_why(error, "cloudwatch:GetMetricStatistics"),
            )
        points: Sequence[dict[str, Any]] = answer.get("Datapoints") or ()
        latest = max(points, key=lambda point: point["Timestamp"], default=None)
        return None if latest is None else timedelta(seconds=float(latest["Maximum"]))

    def close(self) -> None:
        """Closes the connections."""
        for client in self._clients.values():
            client.close()

    def _mappings(self, arn: str) -> Sequence[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        marker: dict[str, str] = {}
        while len(found) < _MOST:
            answer = self._client("lambda").list_event_source_mappings(EventSourceArn=arn, **marker)
            found += answer.get("EventSourceMappings") or ()
            if not answer.get("NextMarker"):
                break
            marker = {"Marker": answer["NextMarker"]}
        return found

    def _mapped(self, mapping: dict[str, Any]) -> Mapped:
        function = str(mapping.get("FunctionArn") or "FUNCTION")
        configured = self._client("lambda").get_function_configuration(FunctionName=function)
        return Mapped(
            uuid=str(mapping.get("UUID") or "UUID"),
            function=str(configured.get("FunctionName") or function),
            # While it is being made or changed it says that.
            enabled=not str(mapping.get("State") or "").lower().startswith("disabl"),
            one_by_one="ReportBatchItemFailures" in (mapping.get("FunctionResponseTypes") or ()),
            window=mapping.get("MaximumBatchingWindowInSeconds") or 0,
            timeout=configured.get("Timeout"),
        )

    def _client(self, name: str) -> Any:
        """A client of one of them, made when it is needed."""
        if name not in self._clients:
            from cloudq.aws_wire.clients import Service, open_client
            from cloudq.drivers.sqs.hosts import host_of

            endpoint = str(self._of_queues.endpoint_url)
            service = Service(name=name, title=f"AWS {name}", hint="sqs://REGION", read_timeout=_READ, pool=_POOL)
            self._clients[name] = open_client(
                service, self._of_queues.region_name, None if host_of(endpoint) is not None else endpoint
            )
        return self._clients[name]


def _why(error: Exception, permissions: str) -> str:
    if isinstance(error, CloudqError):
        return error.message
    response = getattr(error, "response", None)
    code = str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""
    denied = "denied" in code.lower() or "notauthorized" in code.lower()
    return f"it takes the permission {permissions}" if denied else f"{type(error).__name__}: {error}"
