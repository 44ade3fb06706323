"""Ten thousand requests of all kinds, most of them nonsense: the emulator answers each, and works on."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import grpc
import grpc.aio
import pytest
from google.cloud import tasks_v2
from google.iam.v1 import iam_policy_pb2
from google.longrunning import operations_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from tests.unit.emulators.cloud_tasks.bench import LOCATION, QUEUE, Bench

REQUESTS = 10_000
AT_ONCE = 200
SERVICE = "google.cloud.tasks.v2.CloudTasks"
OPERATIONS = "google.longrunning.Operations"
# Never elsewhere than on this machine: port 1 refuses, port 99999 isn't one, and the rest isn't a URL.
URLS = [
    "http://127.0.0.1:1/",
    "http://127.0.0.1:99999/",
    "http://[::1",
    "http:///x",
    "http://127.0.0.1:1/\u2028%zz?#",
    "",
]


class Nonsense:
    """Makes requests, the same for the same seed."""

    def __init__(self, seed: int, url: str) -> None:
        self.random = random.Random(seed)
        self.urls = [url] * 6 + URLS

    def queue(self) -> str:
        ids = ["a", "b", "c", "emails", "under_score", "", "x" * 101, "é\0"]
        return self.one([f"{LOCATION}/queues/{self.one(ids)}", QUEUE, QUEUE, "", "projects//queues/"])

    def name(self) -> str:
        ids = ["a", "b", "c", "d" * 501, "", "ö", "\ud7ff"]
        return f"{self.queue()}/tasks/{self.one(ids)}"

    def one(self, options: list[Any]) -> Any:
        return self.random.choice(options)

    def number(self) -> int:
        return int(self.one([0, 0, 1, -1, -2, 5, 100, 2**31 - 1, -(2**31)]))

    def duration(self) -> Duration:
        return Duration(seconds=self.one([0, 1, 15, 3600, -1, 2**63 - 1, -(2**63)]), nanos=self.number())

    def timestamp(self) -> Timestamp:
        return Timestamp(seconds=self.one([0, 1, 2**40, 1_767_225_600, 2**63 - 1, -(2**63)]), nanos=self.number())

    def retries(self) -> tasks_v2.RetryConfig:
        config = tasks_v2.RetryConfig(max_attempts=self.number(), max_doublings=self.number())
        for field in ("min_backoff", "max_backoff", "max_retry_duration"):
            if self.random.random() < 0.3:
                getattr(tasks_v2.RetryConfig.pb(config), field).CopyFrom(self.duration())
        return config

    def settings(self) -> tasks_v2.Queue:
        made = tasks_v2.Queue(name=self.queue(), state=self.one([0, 1, 2, 3, 9]))
        if self.random.random() < 0.5:
            rate = self.one([0.0, 1.0, 500.0, 1e9, -1.0, float("nan"), float("inf"), 5e-324])
            made.rate_limits = {"max_dispatches_per_second": rate, "max_concurrent_dispatches": self.number()}
        if self.random.random() < 0.5:
            made.retry_config = self.retries()
        if self.random.random() < 0.3:
            override = {"host": self.one(["127.0.0.1", ""]), "port": self.one([1, 0, -1, 2**40])}
            made.http_target = {"uri_override": override, "http_method": self.one([0, 1, 2, 50])}
        return made

    def task(self) -> tasks_v2.Task:
        headers = {self.one([*"aaaaaa", "", "a:b", "Host", "é"]): self.one([*"bbbbbb", "", "\r\n", "é", "x" * 5000])}
        request = {"url": self.one(self.urls), "headers": headers, "body": self.random.randbytes(self.one([0, 1, 500]))}
        request["http_method"] = self.one([0, *[1] * 9, 2, 4, 7, 99])
        if self.random.random() < 0.2:
            request["oidc_token"] = {
                "service_account_email": self.one(["", "a@b.c", "é"]),
                "audience": self.one(["", "é"]),
            }
        made = tasks_v2.Task(name=self.one(["", "", self.name()]), http_request=request)
        if self.random.random() < 0.3:
            tasks_v2.Task.pb(made).schedule_time.CopyFrom(self.timestamp())
        if self.random.random() < 0.3:
            tasks_v2.Task.pb(made).dispatch_deadline.CopyFrom(self.duration())
        if self.random.random() < 0.2:
            made.retry_config = self.retries()
        if self.random.random() < 0.05:
            made.app_engine_http_request = {"relative_uri": "/"}
        return made

    def create(self) -> tasks_v2.CreateTaskRequest:
        return tasks_v2.CreateTaskRequest(parent=self.queue(), task=self.task(), response_view=self.one([0, 1, 2, 3]))

    def page(self) -> dict[str, Any]:
        return {"page_size": self.number(), "page_token": self.one(["", "", "YQ==", "MQ==", "?", "é", "OTk5OTk="])}

    def batch(self) -> tasks_v2.BatchCreateTasksRequest:
        requests = [tasks_v2.CreateTaskRequest(parent=QUEUE, task=self.task()) for _ in range(self.one([0, 1, 3]))]
        parent = self.one([QUEUE, QUEUE, self.queue()])
        return tasks_v2.BatchCreateTasksRequest(
            parent=parent, requests=requests, request_id=self.one(["", "", "1", "2"])
        )

    def calls(self) -> dict[str, Callable[[], Any]]:
        """A maker of requests for each method."""
        parents = [LOCATION, LOCATION, "", "projects/é"]
        masks = [
            [],
            ["rate_limits"],
            ["retry_config.max_attempts"],
            ["name"],
            ["state"],
            ["x"],
            ["http_target.uri_override"],
        ]
        filters = ["", "", "state: PAUSED", "x", "rate_limits.max_burst_size > 1", "name < 9 AND state = 1"]
        return {
            "ListQueues": lambda: tasks_v2.ListQueuesRequest(
                parent=self.one(parents), filter=self.one(filters), **self.page()
            ),
            "GetQueue": lambda: tasks_v2.GetQueueRequest(name=self.queue()),
            "CreateQueue": lambda: tasks_v2.CreateQueueRequest(parent=self.one(parents), queue=self.settings()),
            "UpdateQueue": lambda: tasks_v2.UpdateQueueRequest(
                queue=self.settings(), update_mask=FieldMask(paths=self.one(masks))
            ),
            "DeleteQueue": lambda: tasks_v2.DeleteQueueRequest(
                name=self.one([f"{LOCATION}/queues/{self.one(['a', 'b'])}", ""])
            ),
            "PurgeQueue": lambda: tasks_v2.PurgeQueueRequest(name=self.queue()),
            "PauseQueue": lambda: tasks_v2.PauseQueueRequest(name=self.queue()),
            "ResumeQueue": lambda: tasks_v2.ResumeQueueRequest(name=self.queue()),
            "ListTasks": lambda: tasks_v2.ListTasksRequest(
                parent=self.queue(), response_view=self.one([0, 2, 5]), **self.page()
            ),
            "GetTask": lambda: tasks_v2.GetTaskRequest(name=self.name(), response_view=self.one([0, 1, 2, 9])),
            "CreateTask": self.create,
            "DeleteTask": lambda: tasks_v2.DeleteTaskRequest(name=self.name()),
            "RunTask": lambda: tasks_v2.RunTaskRequest(name=self.name()),
            "BatchCreateTasks": self.batch,
            "BatchDeleteTasks": lambda: tasks_v2.BatchDeleteTasksRequest(
                parent=self.one([QUEUE, self.queue()]),
                names=[
                    self.name() for _ in range(self.one([0, 1, 1, 5, 5, 5, 1001 if self.random.random() < 0.05 else 2]))
                ],
            ),
            "GetIamPolicy": lambda: iam_policy_pb2.GetIamPolicyRequest(resource=self.queue()),
            "SetIamPolicy": lambda: iam_policy_pb2.SetIamPolicyRequest(resource=self.queue()),
            "TestIamPermissions": lambda: iam_policy_pb2.TestIamPermissionsRequest(resource=self.queue()),
            "GetOperation": lambda: operations_pb2.GetOperationRequest(name=self.queue()),
            "NoSuchMethod": operations_pb2.GetOperationRequest,
        }


def encoded(message: Any) -> bytes:
    data = message.SerializeToString() if hasattr(message, "SerializeToString") else type(message).serialize(message)
    return bytes(data)


async def fire(lab: Bench, nonsense: Nonsense) -> tuple[Counter[str], list[tuple[str, str]]]:
    """Makes the calls; gives how many ended with which status, and those that ended by an accident."""
    makers = nonsense.calls()
    methods = list(makers)
    seen: Counter[str] = Counter()
    accidents: list[tuple[str, str]] = []

    async def call(method: str, stub: Any, data: bytes) -> None:
        try:
            await stub(data, timeout=60)
        except grpc.aio.AioRpcError as error:
            seen[error.code().name] += 1
            if error.code().name in {"UNKNOWN", "INTERNAL", "DEADLINE_EXCEEDED"}:
                accidents.append((method, error.details()))
        else:
            seen["OK"] += 1

    async with grpc.aio.insecure_channel(lab.emulator.address) as channel:
        services = {method: OPERATIONS if method == "GetOperation" else SERVICE for method in methods}
        stubs = {method: channel.unary_unary(f"/{service}/{method}") for method, service in services.items()}
        for _ in range(REQUESTS // AT_ONCE):
            calls = []
            for _ in range(AT_ONCE):
                method = nonsense.one(methods)
                data = encoded(makers[method]())
                # Requests without URLs only, so that nothing is sent anywhere.
                if method not in {"CreateTask", "BatchCreateTasks", "UpdateQueue"} and nonsense.random.random() < 0.15:
                    cut = nonsense.random.randrange(len(data) + 1)
                    data = data[:cut] + nonsense.random.randbytes(nonsense.random.randrange(20))
                calls.append(call(method, stubs[method], data))
            await asyncio.gather(*calls)
            lab.clock.advance(nonsense.one([timedelta(seconds=1), timedelta(days=2)]))
    return seen, accidents


@pytest.mark.slow
def test_ten_thousand_requests_of_all_kinds_are_survived(lab: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Each request is answered: with a result, or with a status that says what is wrong with it, never an accident's.
    Afterwards a task is still pushed."""
    seen, accidents = asyncio.run(fire(lab, Nonsense(20_261_121, lab.worker.url)))
    lab.settle()
    assert accidents == []
    assert len(lab.emulator.attempts()) > 50
    assert [] == [record.getMessage() for record in caplog.records if record.levelname in {"ERROR", "CRITICAL"}]
    assert sum(seen.values()) == REQUESTS
    assert {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "UNIMPLEMENTED"} <= set(seen)
    lab.client.update_queue(queue={"name": f"{LOCATION}/queues/afterwards"})
    lab.worker.received.clear()
    lab.create(queue=f"{LOCATION}/queues/afterwards")
    lab.settle()
    assert lab.worker.headers()["x-cloudtasks-queuename"] == "afterwards"
