"""`Plan`: workers of one queue as a platform is to scale them, and for how long each of them needs to end."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import msgspec

from cloudq.core.url import BackendUrl
from cloudq.errors import ConfigurationError, OptionError

# Between the end of a worker's own grace and its kill: it gives back what still runs, and leaves.
LEAVING: Final = timedelta(seconds=3)
HEALTH_PORT: Final = 8080

_NAME: Final = re.compile(r"[a-z]([a-z0-9-]{0,46}[a-z0-9])?")
_IMAGE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,511}")


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Workers of one queue.

    Attributes:
        queue: The queue, by cloudq's name.
        backend: Where it is.
        url: The same as a text, for the worker's `CLOUDQ_URL`.
        image: The container image of the workers.
        name: What the workers are called on the platform.
        app: The app that the worker is to load; `None`: it finds it itself.
        time_limit: The longest of the tasks' time limits.
        grace: How long beyond it a worker has to settle what has ended.
        least: How many workers there are at least.
        most: And at most.
        per_worker: How many messages each is for, those that run included.
        concurrency: How many tasks a worker runs at once.
    """

    queue: str
    backend: BackendUrl
    url: str
    image: str
    name: str
    app: str | None = None
    time_limit: timedelta
    grace: timedelta
    least: int
    most: int
    per_worker: int
    concurrency: int

    @property
    def native_queue(self) -> str:
        """The queue's name on the service."""
        return self.backend.parameters.get("prefix", "") + self.queue

    @property
    def worker_grace(self) -> int:
        """For how long a worker that is stopped lets its tasks run on, in whole seconds: the worker's `--grace`."""
        return _seconds(self.time_limit + self.grace)

    @property
    def termination(self) -> int:
        """How long the platform has to wait before it kills, in whole seconds."""
        return _seconds(self.time_limit + self.grace + LEAVING)

    def command(self, *options: str) -> Sequence[str]:
        """The worker's command line.

        Args:
            options: Further ones.
        """
        app = () if self.app is None else ("--app", self.app)
        grace = ("--grace", str(self.worker_grace))
        return ("cloudq", "worker", "--queue", self.queue, *app, *grace, *options, "--log-format", "json")

    def environment(self) -> Sequence[tuple[str, str]]:
        """What the worker finds in its environment."""
        region = () if self.backend.scheme != "sqs" else (("AWS_REGION", self.backend.host),)
        return (("CLOUDQ_URL", self.url), *region)


def checked_name(name: str | None, queue: str) -> str:
    """The workers' name, or one made of the queue's.

    Raises:
        OptionError: It is none, or the queue's makes none.
    """
    made = f"worker-{re.sub('[^a-z0-9]+', '-', queue.lower()).strip('-')}" if name is None else name
    if not _NAME.fullmatch(made):
        raise OptionError(
            f"{made!r} can't be the name of workers on every platform",
            hint="--name worker-emails: small letters, digits and hyphens, at most 48",
        )
    return made


def checked_image(image: str) -> str:
    """The container image, if it may be one.

    Raises:
        OptionError: It can't be.
    """
    if not _IMAGE.fullmatch(image):
        raise OptionError(f"--image {image!r} is no container image", hint="--image registry.example/shop:1")
    return image


def required_host(plan: Plan) -> str:
    """The host of the backend's URL: the region, or the namespace.

    Raises:
        ConfigurationError: There is none.
    """
    if not plan.backend.host:
        what = {"sqs": "region", "servicebus": "namespace"}.get(plan.backend.scheme, "host")
        example = {
            "sqs": "sqs://eu-west-1",
            "servicebus": "servicebus://shop.servicebus.windows.net",
        }.get(plan.backend.scheme, "")
        raise ConfigurationError(f"{plan.backend.scheme}:// names no {what}", hint=f"--backend {example}")
    return plan.backend.host


def _seconds(span: timedelta) -> int:
    """Whole seconds, rounded up."""
    return -(-span // timedelta(seconds=1))
