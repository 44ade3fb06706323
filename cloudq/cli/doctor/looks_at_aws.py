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
from cloudq.cli.lambda_mappings import listed, open_beside
from cloudq.core.clock import Clock
from cloudq.errors import CloudqError

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
        self._driver = app.driver()
        self._clock = clock
        self._clients: dict[str, Any] = {}

    def findings(self, looked: Looked) -> Iterator[Finding | Unchecked]:
        """What is wrong with the mappings of a queue."""
        arn = None if looked.settings is None else looked.settings.resource
        if arn is None:
            return
        what = f"the Lambda mappings of queue {looked.queue!r}"
        try:
            mapped = [self._mapped(one) for one in listed(self._client("lambda"), arn)]
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
            self._clients[name] = open_beside(self._driver, name)
        return self._clients[name]


def _why(error: Exception, permissions: str) -> str:
    if isinstance(error, CloudqError):
        return error.message
    response = getattr(error, "response", None)
    code = str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""
    denied = "denied" in code.lower() or "notauthorized" in code.lower()
    return f"it takes the permission {permissions}" if denied else f"{type(error).__name__}: {error}"
