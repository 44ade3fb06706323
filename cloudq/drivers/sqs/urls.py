"""From a queue's name to its URL: asked for once, or put together without a call."""

from __future__ import annotations

from collections.abc import Callable

from cloudq.drivers.sqs.client import SqsClient
from cloudq.drivers.sqs.faults import translate


class QueueUrls:
    """The URLs of queues.

    Args:
        client: Gives the client to ask.
        prefix: What the queues' names on SQS start with.
        account: The account that owns the queues; then their URLs need no call and no permission to ask.
    """

    def __init__(self, client: Callable[[], SqsClient], *, prefix: str = "", account: str | None = None) -> None:
        self._client = client
        self._prefix = prefix
        self._account = account
        self._known: dict[str, str] = {}

    def native_name(self, queue: str) -> str:
        """The queue's name on SQS."""
        return self._prefix + queue

    def of(self, queue: str) -> str:
        """The queue's URL: the name itself, where it is one, which takes neither a prefix nor a call.

        Raises:
            QueueNotFound: There is no such queue, if that had to be asked.
            BackendError: It couldn't be asked.
        """
        url = self._known.get(queue)
        if url is None:
            url = self._known[queue] = self._found(queue)
        return url

    def learn(self, queue: str, account: str) -> str:
        """The queue's URL, put together without a call from what somebody else knows: the account that owns it."""
        url = self._known[queue] = self._in(account, queue)
        return url

    def _in(self, account: str, queue: str) -> str:
        return f"{self._client().meta.endpoint_url.rstrip('/')}/{account}/{self.native_name(queue)}"

    def _found(self, queue: str) -> str:
        if queue.startswith(("https://", "http://")):
            return queue
        if self._account is not None:
            return self._in(self._account, queue)
        client, name = self._client(), self.native_name(queue)
        try:
            url: str = client.get_queue_url(QueueName=name)["QueueUrl"]
        except Exception as error:
            raise translate(error, queue) from error
        return url
