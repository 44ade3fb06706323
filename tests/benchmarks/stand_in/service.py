"""The stand-in's calls, and the HTTP that they come in."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import msgspec

from tests.benchmarks.stand_in.queues import ACCOUNT, Answer, Parameters, Queue, Refused

SWEEP: Final = 0.02
"""How often it looks for messages that are due, in seconds."""
_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_TARGET: Final = re.compile(rb"\r\nx-amz-target: *AmazonSQS\.(\w+)", re.IGNORECASE)
_HOST: Final = re.compile(rb"\r\nhost: *([^\r]+)", re.IGNORECASE)
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode
_encode: Final = msgspec.json.Encoder().encode


class StandIn:
    """The service.

    Args:
        delay: For how many seconds each answer is held back, as a network's round trip would.
    """

    def __init__(self, delay: float = 0) -> None:
        self.delay = delay
        self.open = True
        self.counts: Counter[str] = Counter()
        self.queues: dict[str, Queue] = {}
        self._answers: dict[str, Callable[[Parameters, str], Answer]] = {
            "SendMessage": lambda asked, _: self._queue(asked).send(asked),
            "SendMessageBatch": lambda asked, _: _each(asked, self._queue(asked).send),
            "DeleteMessage": lambda asked, _: self._queue(asked).delete(asked),
            "DeleteMessageBatch": lambda asked, _: _each(asked, self._queue(asked).delete),
            "ChangeMessageVisibility": lambda asked, _: self._queue(asked).change(asked),
            "ChangeMessageVisibilityBatch": lambda asked, _: _each(asked, self._queue(asked).change),
            "CreateQueue": self._create,
            "GetQueueUrl": self._url,
            "GetQueueAttributes": lambda asked, _: self._queue(asked).described(),
            "ListQueues": lambda _, host: {"QueueUrls": [_url(host, name) for name in self.queues]},
            "PurgeQueue": lambda asked, _: self._queue(asked).purge(),
        }

    def answer(self, action: str, asked: Parameters, host: str) -> Answer:
        """What a call other than a receive is answered with.

        Raises:
            Refused: It is refused.
        """
        self.counts[action] += 1
        if action not in self._answers:
            raise Refused("InvalidAction")
        answer = self._answers[action](asked, host)
        if action.startswith("SendMessage"):
            self.wake(self._queue(asked))
        return answer

    def receive(self, asked: Parameters, connection: Connection) -> None:
        """Answers a receive, now or when its poll ends.

        Raises:
            Refused: It is refused.
        """
        self.counts["ReceiveMessage"] += 1
        queue = self._queue(asked)
        if (self.open and queue.ready) or not asked.get("WaitTimeSeconds"):
            self._give(queue, asked, connection)
            return

        def end() -> None:
            timer.cancel()
            if end in queue.waiting:
                queue.waiting.remove(end)
            self._give(queue, asked, connection)

        timer = asyncio.get_running_loop().call_later(asked["WaitTimeSeconds"], end)
        queue.waiting.append(end)

    def wake(self, queue: Queue) -> None:
        """Ends the polls for which there are messages."""
        while self.open and queue.ready and queue.waiting:
            queue.waiting[0]()

    async def sweep(self) -> None:
        """Makes visible what is due, for as long as it runs."""
        while True:
            await asyncio.sleep(SWEEP)
            now = time.monotonic()
            for queue in self.queues.values():
                queue.sweep(now)
                self.wake(queue)

    def control(self, path: str) -> Answer:
        """What whoever measures is answered."""
        if path == "/counts":
            taken, self.counts = self.counts, Counter()
            return dict(taken)
        self.open = path == "/gate/open"
        now = time.monotonic()
        for queue in self.queues.values():
            self.wake(queue)
        return {"at": now}

    def _give(self, queue: Queue, asked: Parameters, connection: Connection) -> None:
        if connection.gone or not self.open:
            connection.reply({})
            return
        taken = queue.take(asked.get("MaxNumberOfMessages", 1), asked.get("VisibilityTimeout", 30))
        connection.reply({"Messages": [message.received(asked) for message in taken]} if taken else {})

    def _queue(self, asked: Parameters) -> Queue:
        return self._named(asked["QueueUrl"].rpartition("/")[2])

    def _named(self, name: str) -> Queue:
        if name not in self.queues:
            raise Refused("QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue")
        return self.queues[name]

    def _create(self, asked: Parameters, host: str) -> Answer:
        name = asked["QueueName"]
        self.queues.setdefault(name, Queue(name, {"VisibilityTimeout": "30", **asked.get("Attributes", {})}))
        return {"QueueUrl": _url(host, name)}

    def _url(self, asked: Parameters, host: str) -> Answer:
        return {"QueueUrl": _url(host, self._named(asked["QueueName"]).name)}


class Connection(asyncio.Protocol):
    """One client's connection: a request, its answer, the next request."""

    _transport: asyncio.Transport

    def __init__(self, service: StandIn) -> None:
        self._service = service
        self._got = b""

    @property
    def gone(self) -> bool:
        """Whether nobody is there to take an answer."""
        return self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._got += data
        end = self._got.find(_HEAD_END)
        if end < 0:
            return
        length = _LENGTH.search(self._got, 0, end)
        whole = end + len(_HEAD_END) + (int(length[1]) if length else 0)
        if len(self._got) >= whole:
            head, body, self._got = self._got[:end], self._got[end + len(_HEAD_END) : whole], self._got[whole:]
            self._answer(head, body)

    def reply(self, answer: Answer, status: bytes = b"200 OK", more: bytes = b"") -> None:
        """Writes an answer, after the service's delay."""
        body = _encode(answer)
        data = b"HTTP/1.1 %b\r\ncontent-type: application/x-amz-json-1.0\r\nx-amzn-requestid: 0\r\n%b" % (status, more)
        data += b"content-length: %d\r\n\r\n%b" % (len(body), body)
        if self._service.delay:
            asyncio.get_running_loop().call_later(self._service.delay, self._transport.write, data)
        else:
            self._transport.write(data)

    def _answer(self, head: bytes, body: bytes) -> None:
        target = _TARGET.search(head)
        if target is None:
            self.reply(self._service.control(head.split(b" ", 2)[1].decode()))
            return
        action = target[1].decode()
        try:
            asked = _decode(body)
            if action == "ReceiveMessage":
                self._service.receive(asked, self)
            else:
                host = _HOST.search(head)
                self.reply(self._service.answer(action, asked, host[1].decode() if host else ""))
        except Refused as error:
            query = b"x-amzn-query-error: %b;Sender\r\n" % error.query_code.encode()
            self.reply({"__type": f"com.amazonaws.sqs#{error.code}"}, b"400 Bad Request", query)


def _url(host: str, name: str) -> str:
    return f"http://{host}/{ACCOUNT}/{name}"


def _each(asked: Parameters, done: Callable[[Parameters], Answer]) -> Answer:
    """A batch: each entry by itself."""
    successful, failed = [], []
    for entry in asked["Entries"]:
        try:
            successful.append({"Id": entry["Id"], **done(entry)})
        except Refused as error:
            failed.append({"Id": entry["Id"], "Code": error.code, "SenderFault": True})
    return {"Successful": successful, "Failed": failed}


async def serve(service: StandIn, port: int = 0) -> None:
    """Serves on loopback until it is cancelled; prints its port first."""
    server = await asyncio.get_running_loop().create_server(lambda: Connection(service), "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)
    sweeping = asyncio.create_task(service.sweep())
    try:
        await server.serve_forever()
    finally:
        sweeping.cancel()
