"""From a broker's URL to its queue."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Final

from cloudq.compat.celery.bridge.old_queue import OldQueue
from cloudq.core.clock import Clock
from cloudq.errors import ConfigurationError

_SQS: Final = "sqs"
_REDIS: Final = frozenset({"redis", "rediss", "redis+socket", "sentinel"})
_HINT: Final = "--from redis://HOST:6379/0, or --from sqs://REGION?prefix=celery-"


def open_old_queue(
    url: str, queue: str, clock: Clock, *, prefix: str = "", steps: Sequence[int] | None = None
) -> OldQueue:
    """Celery's queue at a broker's URL.

    Args:
        url: The broker's: Redis as Celery has it, SQS as cloudq has it.
        queue: The queue's name, as Celery has it.
        clock: Where the time comes from.
        prefix: On Redis, kombu's `global_keyprefix`.
        steps: On Redis, kombu's `priority_steps`; default: its own, 0, 3, 6 and 9.

    Raises:
        ConfigurationError: No broker of that scheme is known here, the URL can't be used, or a package is missing.
        BackendError: The broker can't be used.
    """
    scheme = url.partition("://")[0]
    _need("kombu")
    if scheme in _REDIS:
        _need("redis")
        from cloudq.compat.celery.bridge.redis_queue import open_redis

        return open_redis(url, queue, prefix=prefix, steps=steps)
    if scheme == _SQS:
        if prefix or steps:
            raise ConfigurationError("a key prefix and priority steps are Redis's", hint="sqs://REGION?prefix=celery-")
        from cloudq.compat.celery.bridge.sqs_queue import open_sqs
        from cloudq.queues.opening import open_driver

        return open_sqs(url, queue, open_driver, clock)
    raise ConfigurationError(f"the bridge reads from Redis and SQS, not from {scheme[:32]!r}", hint=_HINT)


def _need(package: str) -> None:
    """Before anything is read: a package that is missing later would end the bridge in the middle.

    Raises:
        ConfigurationError: It isn't installed.
    """
    try:
        import_module(package)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"the bridge needs {error.name}, which isn't installed", hint="pip install 'cloudq[celery-bridge]'"
        ) from error
