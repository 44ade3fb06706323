"""`FakeSqs`: an SQS of one process that behaves like botocore's client, and can be told to fail."""

# ruff: noqa: N803 - the arguments' names are the service's
from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

from cloudq.drivers.sqs.bodies import size

ENDPOINT = "http://sqs.test"
LONGEST_BATCH = 1024 * 1024
TOO_MANY = "Number of message attributes [{}] exceeds the allowed maximum [10]."


class FakeSqs:
    """Messages by queue; every call is recorded. Leases don't end by themselves: time is the driver's clock's.

    Attributes:
        calls: The operations called, with their parameters, in order.
        attributes: What a queue was made with or is set to, by its name.
        sources: The ARNs of the dead-letter queues that a redrive policy names.
        tasks: The message move tasks, as listed, oldest first. They move when the test calls `move`.
        fail: Asked before each call; what it returns is raised.
        fail_item: Asked for each item of a batch; what it returns is the item's `(Code, SenderFault)`, perhaps
            with its `Message`.
        refuses_all_for_one: Whether one entry with too many attributes refuses its call.
        trace: Given each entry that is sent, to write into: what traces the SDK does so.
    """

    def __init__(self, *queues: str) -> None:
        self.meta = SimpleNamespace(endpoint_url=ENDPOINT)
        self.queues: dict[str, list[dict]] = {f"{ENDPOINT}/1/{name}": [] for name in queues}
        self.calls: list[tuple[str, dict]] = []
        self.attributes: dict[str, dict[str, str]] = {}
        self.sources: set[str] = set()
        self.tasks: list[dict] = []
        self.fail: Callable[[str], Exception | None] = lambda operation: None
        self.fail_item: Callable[[str, dict], tuple[Any, ...] | None] = lambda operation, item: None
        self.trace: Callable[[dict], None] = lambda entry: None
        self.refuses_all_for_one = False
        self.closed = False

    def operations(self) -> list[str]:
        return [operation for operation, _ in self.calls]

    def get_queue_url(self, *, QueueName: str, QueueOwnerAWSAccountId: str = "1") -> dict:
        self._called("GetQueueUrl", {"QueueName": QueueName})
        url = f"{ENDPOINT}/1/{QueueName}"
        self._messages(url)
        return {"QueueUrl": url}

    def send_message_batch(self, *, QueueUrl: str, Entries: list[dict]) -> dict:
        for entry in Entries:
            self.trace(entry)
        self._called("SendMessageBatch", {"QueueUrl": QueueUrl, "Entries": Entries})
        messages = self._messages(QueueUrl)
        _refuse_empty(Entries)
        total = sum(size(entry["MessageBody"], entry.get("MessageAttributes", {})) for entry in Entries)
        if total > LONGEST_BATCH:
            text = f"Batch requests cannot be longer than {LONGEST_BATCH} bytes. You have sent {total} bytes."
            raise client_error("AWS.SimpleQueueService.BatchRequestTooLong", text)
        counts = {entry["Id"]: len(entry.get("MessageAttributes", {})) for entry in Entries}
        crowded = {place: TOO_MANY.format(count) for place, count in counts.items() if count > 10}
        if crowded and self.refuses_all_for_one:
            raise client_error("InvalidParameterValue", next(iter(crowded.values())))

        def send(entry: dict) -> dict:
            attributes = {"SentTimestamp": str(len(self.calls)), "ApproximateReceiveCount": "0"}
            if "MessageGroupId" in entry:
                attributes["MessageGroupId"] = entry["MessageGroupId"]
            message_id = str(uuid.uuid4())
            messages.append(
                {
                    "MessageId": message_id,
                    "Body": entry["MessageBody"],
                    "MessageAttributes": entry.get("MessageAttributes", {}),
                    "Attributes": attributes,
                    "ReceiptHandle": None,
                }
            )
            digest = hashlib.md5(entry["MessageBody"].encode(), usedforsecurity=False).hexdigest()
            return {"MessageId": message_id, "MD5OfMessageBody": digest}

        answer = self._each("SendMessageBatch", [one for one in Entries if one["Id"] not in crowded], send)
        for place, text in crowded.items():
            refused = {"Id": place, "Code": "InvalidParameterValue", "Message": text, "SenderFault": True}
            answer["Failed"].append(refused)
        return answer

    def receive_message(self, *, QueueUrl: str, MaxNumberOfMessages: int, **options: object) -> dict:
        self._called("ReceiveMessage", {"QueueUrl": QueueUrl, "MaxNumberOfMessages": MaxNumberOfMessages, **options})
        if not 1 <= MaxNumberOfMessages <= 10:
            raise client_error("InvalidParameterValue", "Must be between 1 and 10, if provided.")
        ready = [message for message in self._messages(QueueUrl) if message["ReceiptHandle"] is None]
        for message in ready[:MaxNumberOfMessages]:
            message["ReceiptHandle"] = uuid.uuid4().hex
            count = int(message["Attributes"]["ApproximateReceiveCount"]) + 1
            message["Attributes"]["ApproximateReceiveCount"] = str(count)
        return {"Messages": [{**message} for message in ready[:MaxNumberOfMessages]]} if ready else {}

    def delete_message_batch(self, *, QueueUrl: str, Entries: list[dict]) -> dict:
        self._called("DeleteMessageBatch", {"QueueUrl": QueueUrl, "Entries": Entries})
        messages = self._messages(QueueUrl)
        _refuse_empty(Entries)

        def delete(entry: dict) -> None:
            messages[:] = [one for one in messages if one["ReceiptHandle"] != entry["ReceiptHandle"]]

        return self._each("DeleteMessageBatch", Entries, delete)

    def change_message_visibility_batch(self, *, QueueUrl: str, Entries: list[dict]) -> dict:
        self._called("ChangeMessageVisibilityBatch", {"QueueUrl": QueueUrl, "Entries": Entries})
        _refuse_empty(Entries)

        def change(entry: dict) -> None:
            for message in self._messages(QueueUrl):
                if message["ReceiptHandle"] == entry["ReceiptHandle"] and entry["VisibilityTimeout"] == 0:
                    message["ReceiptHandle"] = None

        return self._each("ChangeMessageVisibilityBatch", Entries, change)

    def get_queue_attributes(self, *, QueueUrl: str, AttributeNames: list[str]) -> dict:
        self._called("GetQueueAttributes", {"QueueUrl": QueueUrl})
        messages = self._messages(QueueUrl)
        ready = sum(message["ReceiptHandle"] is None for message in messages)
        values = {
            "ApproximateNumberOfMessages": str(ready),
            "ApproximateNumberOfMessagesDelayed": "0",
            "ApproximateNumberOfMessagesNotVisible": str(len(messages) - ready),
            "QueueArn": f"arn:aws:sqs:test:1:{QueueUrl.rpartition('/')[2]}",
        }
        values |= {"VisibilityTimeout": "30", "MaximumMessageSize": "1048576", "MessageRetentionPeriod": "345600"}
        values |= self.attributes.get(QueueUrl.rpartition("/")[2], {})
        return {"Attributes": values if AttributeNames == ["All"] else {name: values[name] for name in AttributeNames}}

    def create_queue(self, *, QueueName: str, Attributes: dict[str, str]) -> dict:
        self._called("CreateQueue", {"QueueName": QueueName, "Attributes": Attributes})
        url = f"{ENDPOINT}/1/{QueueName}"
        self.queues.setdefault(url, [])
        self.attributes[QueueName] = dict(Attributes)
        return {"QueueUrl": url}

    def start_message_move_task(self, *, SourceArn: str, DestinationArn: str) -> dict:
        self._called("StartMessageMoveTask", {"SourceArn": SourceArn, "DestinationArn": DestinationArn})
        if SourceArn not in self.sources:
            raise client_error("InvalidParameterValue", "Source queue must be configured as a Dead Letter Queue.")
        if any(task["Status"] in {"RUNNING", "CANCELLING"} for task in self.tasks if task["SourceArn"] == SourceArn):
            text = "There is already a task running. Only one active task is allowed for a source queue arn at a time."
            raise client_error("InvalidParameterValue", text)
        handle = uuid.uuid4().hex
        self.tasks.append(
            {
                "TaskHandle": handle,
                "Status": "RUNNING",
                "SourceArn": SourceArn,
                "DestinationArn": DestinationArn,
                "StartedTimestamp": 1_000 + len(self.calls),
                "ApproximateNumberOfMessagesMoved": 0,
                "ApproximateNumberOfMessagesToMove": len(self._messages(_url(SourceArn))),
            }
        )
        return {"TaskHandle": handle}

    def list_message_move_tasks(self, *, SourceArn: str, MaxResults: int) -> dict:
        self._called("ListMessageMoveTasks", {"SourceArn": SourceArn, "MaxResults": MaxResults})
        found = [{**task} for task in reversed(self.tasks) if task["SourceArn"] == SourceArn]
        for task in found:
            if task["Status"] != "RUNNING":
                del task["TaskHandle"]
        return {"Results": found[:MaxResults]}

    def cancel_message_move_task(self, *, TaskHandle: str) -> dict:
        self._called("CancelMessageMoveTask", {"TaskHandle": TaskHandle})
        for task in self.tasks:
            if task["TaskHandle"] == TaskHandle and task["Status"] == "RUNNING":
                task["Status"] = "CANCELLING"
                return {"ApproximateNumberOfMessagesMoved": task["ApproximateNumberOfMessagesMoved"]}
        raise client_error("ResourceNotFoundException", "Task does not exist.", 404)

    def move(self, count: int) -> None:
        """Lets the active task move so many messages, and end where none is left or it is being cancelled."""
        task = self.tasks[-1]
        source, destination = self._messages(_url(task["SourceArn"])), self._messages(_url(task["DestinationArn"]))
        if task["Status"] == "RUNNING":
            moved, source[:] = source[:count], source[count:]
            destination += moved
            task["ApproximateNumberOfMessagesMoved"] += len(moved)
            task["Status"] = "RUNNING" if source else "COMPLETED"
        elif task["Status"] == "CANCELLING":
            task["Status"] = "CANCELLED"

    def purge_queue(self, *, QueueUrl: str) -> dict:
        self._called("PurgeQueue", {"QueueUrl": QueueUrl})
        self._messages(QueueUrl).clear()
        return {}

    def close(self) -> None:
        self.closed = True

    def _called(self, operation: str, parameters: dict) -> None:
        self.calls.append((operation, parameters))
        error = self.fail(operation)
        if error is not None:
            raise error

    def _messages(self, url: str) -> list[dict]:
        if url not in self.queues:
            raise client_error("AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.")
        return self.queues[url]

    def _each(self, operation: str, entries: list[dict], do: Callable[[dict], dict | None]) -> dict:
        answer: dict[str, list[dict]] = {"Successful": [], "Failed": []}
        for entry in entries:
            failure = self.fail_item(operation, entry)
            if failure is None:
                answer["Successful"].append({"Id": entry["Id"], **(do(entry) or {})})
            else:
                code, sender, *words = failure
                said = words[0] if words else "no"
                answer["Failed"].append({"Id": entry["Id"], "Code": code, "Message": said, "SenderFault": sender})
        return answer


def _refuse_empty(entries: list[dict]) -> None:
    if not entries:
        raise client_error("AWS.SimpleQueueService.EmptyBatchRequest")


def _url(arn: str) -> str:
    return f"{ENDPOINT}/1/{arn.rpartition(':')[2]}"


def client_error(code: str, text: str = "no", status: int = 400) -> ClientError:
    """What botocore raises for an error that the service answers with."""
    response = {"Error": {"Code": code, "Message": text}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "Operation")
