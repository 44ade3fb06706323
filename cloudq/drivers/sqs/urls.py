"""From a queue's name to its URL: asked for once, or put together without a call. And from a URL to its parts."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

import msgspec

from cloudq.core.message import DEAD_LETTER_SUFFIX, FIFO_SUFFIX, is_dead_letter_queue
from cloudq.drivers.sqs.answers import value_of
from cloudq.drivers.sqs.calls import Calls
from cloudq.drivers.sqs.hosts import is_url
from cloudq.errors import UnsupportedError

_REGION: Final = re.compile(r"[a-z]{2,}(?:-[a-z]+)+-[0-9]+")
# "CreateQueue", Amazon SQS API Reference, 2026-11: the suffix counts.
_NAME: Final = re.compile(r"[A-Za-z0-9_-]+(?:\.fifo)?")
_LONGEST_NAME: Final = 80
_PATH: Final = re.compile(r"https?://[^/]+(?:/[^/]+)*/[0-9]+/[^/]+/?")


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What a queue's URL says.

    Attributes:
        region: Its region, or `None` where the host names none (an endpoint of one's own, say).
        account: The account that owns it.
        name: Its name on SQS.
    """

    region: str | None
    account: str
    name: str


def place_of(url: str) -> Place:
    """The parts of a queue's URL."""
    account, name = url.rstrip("/").rsplit("/", 2)[1:]
    labels = (urlsplit(url).hostname or "").split(".")
    region = next((label for label in labels if _REGION.fullmatch(label)), None)
    return Place(region=region, account=account, name=name)


class QueueUrls:
    """The URLs of queues.

    Args:
        calls: How to ask.
        prefix: What the queues' names on SQS start with.
        account: The account that owns the queues; then their URLs need no call and no permission to ask.
    """

    def __init__(self, calls: Calls, *, prefix: str = "", account: str | None = None) -> None:
        self._calls = calls
        self._prefix = prefix
        self._account = account
        self._known: dict[str, str] = {}

    def native_name(self, queue: str) -> str:
        """The queue's name on SQS; of one that is named by its URL the name in that, which takes no prefix."""
        return place_of(queue).name if is_url(queue) else self._prefix + queue

    def check(self, queue: str) -> None:
        """Refuses a name that no queue on SQS has. No call is made.

        Raises:
            UnsupportedError: It is none; or that of its dead-letter queue would be too long.
        """
        if is_url(queue) and not _PATH.fullmatch(queue):
            raise UnsupportedError(
                f"{queue!r} isn't the URL of a queue of Amazon SQS",
                hint="https://sqs.REGION.amazonaws.com/ACCOUNT/NAME",
            )
        native = self.native_name(queue)
        room = 0 if is_dead_letter_queue(queue) else len(DEAD_LETTER_SUFFIX)
        if not _NAME.fullmatch(native) or len(native) > _LONGEST_NAME - room:
            raise UnsupportedError(
                f"{native!r} can't be the name of a queue of Amazon SQS",
                hint=f"letters, digits, hyphens and underscores, at most {_LONGEST_NAME - room}, the prefix and "
                f"{FIFO_SUFFIX} included",
            )

    def of(self, queue: str) -> str:
        """The queue's URL: the name itself, where it is one, which takes neither a prefix nor a call.

        Raises:
            QueueNotFound: There is no such queue, if that had to be asked.
            BackendError: It couldn't be asked.
        """
        url = self._known.get(queue)
        if url is None:
            url = self._known[queue] = self._find(queue)
        return url

    def learn(self, queue: str, account: str) -> str:
        """The queue's URL, put together without a call from what somebody else knows: the account that owns it."""
        url = self._known[queue] = queue if is_url(queue) else self._in(account, queue)
        return url

    def arn_of(self, queue: str) -> str:
        """The queue's ARN: a call.

        Raises:
            BackendError: It couldn't be asked.
        """
        answer = self._calls.make("get_queue_attributes", queue, QueueUrl=self.of(queue), AttributeNames=["QueueArn"])
        arn: str = value_of(value_of(answer, "Attributes", queue), "QueueArn", queue)
        return arn

    def _in(self, account: str, queue: str) -> str:
        return f"{self._calls.client.meta.endpoint_url.rstrip('/')}/{account}/{self.native_name(queue)}"

    def _find(self, queue: str) -> str:
        if is_url(queue):
            return queue
        if self._account is not None:
            return self._in(self._account, queue)
        url: str = value_of(
            self._calls.make("get_queue_url", queue, QueueName=self.native_name(queue)), "QueueUrl", queue
        )
        return url
