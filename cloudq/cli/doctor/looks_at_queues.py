"""Queues as they are set up, of a backend whose driver can tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from cloudq.app import App
from cloudq.cli.doctor.queue_law import Looked
from cloudq.cli.queue_needs import CLOUDS, Needs
from cloudq.core.driver import Capabilities, Driver, QueueInspector
from cloudq.core.message import dead_letter_queue
from cloudq.core.url import parse_url
from cloudq.errors import UnsupportedError


def look_at_queues(app: App, queues: Sequence[str], needs: Mapping[str, Needs]) -> Iterator[Looked]:
    """Each queue with its dead-letter queue; none where a backend's queues have no settings.

    Args:
        app: On the backend.
        queues: Their names.
        needs: What the tasks ask of them, as far as that is known.

    Raises:
        PermissionDenied: Who asks may not read settings.
        BackendError: The backend couldn't be asked.
    """
    driver, url = app.driver(), parse_url(app.url)
    cloud = CLOUDS.get(url.scheme)
    if cloud is None or not isinstance(driver, QueueInspector):
        return
    prefix = url.parameters.get("prefix", "")
    target = url.parameters.get("target")
    for queue in queues:
        if (capabilities := _capabilities(driver, queue)) is None:
            asked = needs.get(queue)
            yield Looked(cloud=cloud, queue=queue, native=prefix + queue, settings=None, needs=asked, possible=False)
            continue
        settings = driver.queue_settings(queue)
        dead = None if capabilities.native_dead_letter else driver.queue_settings(dead_letter_queue(queue))
        yield Looked(
            cloud=cloud,
            queue=queue,
            native=prefix + queue if settings is None else settings.name,
            settings=settings,
            dead=dead,
            needs=needs.get(queue),
            capabilities=capabilities,
            target=None if target is None else urlsplit(target).hostname,
        )


def _capabilities(driver: Driver, queue: str) -> Capabilities | None:
    """What the queue can do, or `None` if the service can't have one of that name."""
    try:
        return driver.capabilities(queue)
    except UnsupportedError:
        return None
