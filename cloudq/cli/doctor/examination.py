"""Has everything looked at, and gathers what was found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import msgspec

from cloudq.app import App
from cloudq.cli.doctor.ages import keys_forgotten, nearly_expired, skewed
from cloudq.cli.doctor.fault import Finding, Severity, Unchecked
from cloudq.cli.doctor.functions_host import look_at_host
from cloudq.cli.doctor.keeping import look_at_outbox, look_at_store
from cloudq.cli.doctor.looks_at_aws import Amazon
from cloudq.cli.doctor.looks_at_google import CloudRun
from cloudq.cli.doctor.looks_at_queues import look_at_queues
from cloudq.cli.doctor.machine import look_at_disk
from cloudq.cli.doctor.pauses import paused
from cloudq.cli.doctor.permissions import missing_permissions
from cloudq.cli.doctor.program import Installed, look_at_program
from cloudq.cli.doctor.queue_law import Looked, judge
from cloudq.cli.queue_needs import Cloud, Needs, needs_of
from cloudq.core.inspection import AgeTeller
from cloudq.core.message import is_ordered
from cloudq.core.store_url import parse_store_url
from cloudq.core.url import parse_url
from cloudq.errors import BackendError
from cloudq.queues.store_connection import NATIVE_ONLY


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was found.

    Attributes:
        findings: The faults, the worst first.
        unchecked: What couldn't be looked at.
    """

    findings: Sequence[Finding]
    unchecked: Sequence[Unchecked]

    def count(self, severity: Severity) -> int:
        """How many faults matter that much."""
        return sum(finding.fault.severity is severity for finding in self.findings)


def examine(
    app: App,
    queues: Sequence[str],
    *,
    works: bool = True,
    outbox: str | None = None,
    folder: Path | None = None,
    installed: Installed,
) -> Report:
    """Looks at an app's queues, and at what is around them. It changes nothing.

    Args:
        app: Whose tasks, on its backend.
        queues: The names of the queues.
        works: Whether who runs this is to have a worker's permissions, or only a sender's.
        outbox: The URL of the outbox; `None` for none.
        folder: Where the program is, for what is set up by a file there; `None`: nowhere.
        installed: Tells the versions of packages.

    Raises:
        PermissionDenied: Who asks may not read the settings of queues.
        BackendError: The backend couldn't be asked.
    """
    noticed = [
        *_of_queues(app, queues, works=works),
        *_around(app, outbox=outbox, folder=folder, installed=installed),
    ]
    findings = [one for one in noticed if isinstance(one, Finding)]
    return Report(
        findings=sorted(findings, key=lambda finding: -finding.fault.severity.rank),
        unchecked=[one for one in noticed if isinstance(one, Unchecked)],
    )


def needs_by_queue(app: App) -> Mapping[str, Needs]:
    """What the app's tasks ask of their queues."""
    handlers = app.runtime.handlers
    return {one.queue: one for one in needs_of(handlers[name] for name in app.tasks)}


def _of_queues(app: App, queues: Sequence[str], *, works: bool) -> Iterator[Finding | Unchecked]:
    """What is wrong with each queue, where its backend tells how it is set up; and with the ages of its messages."""
    looks = {looked.queue: looked for looked in look_at_queues(app, queues, needs_by_queue(app))}
    amazon = Amazon(app, app.clock) if any(looked.cloud is Cloud.AWS for looked in looks.values()) else None
    run = CloudRun(app) if any(looked.cloud is Cloud.GOOGLE for looked in looks.values()) else None
    for queue in queues:
        looked = looks.get(queue)
        if looked is not None:
            yield from judge(looked)
            if looked.settings is None:
                continue  # there is nothing more to look at
            yield from skewed(looked)
            yield from missing_permissions(app.driver(), looked, works=works)
            if amazon is not None:
                yield from amazon.findings(looked)
            if run is not None:
                yield from run.findings(looked)
        yield from paused(app, queue, looked)
        oldest = _oldest(app, queue, looked) if amazon is None or looked is None else amazon.oldest_age(looked)
        if isinstance(oldest, Unchecked):
            yield oldest
            oldest = None
        if looked is not None:
            yield from nearly_expired(looked, oldest)
        yield from keys_forgotten(queue, looked, oldest, _keyed(app, queue))
    if amazon is not None:
        amazon.close()


def _oldest(app: App, queue: str, looked: Looked | None) -> timedelta | Unchecked | None:
    """How old the oldest message is, where the backend says so."""
    driver = app.driver()
    try:
        if isinstance(driver, AgeTeller):
            return driver.oldest_age(queue) if _can_be_received_from(queue, looked) else None
        return app.queue(queue).stats().oldest_age
    except BackendError as error:
        return Unchecked(what=f"the age of the oldest message of queue {queue!r}", why=error.message)


def _can_be_received_from(queue: str, looked: Looked | None) -> bool:
    """Whether a receiver is let in. If not, there is a finding that says why."""
    settings = None if looked is None else looked.settings
    if settings is None:
        return True
    return settings.stopped is None and settings.forwards_to is None and settings.ordered in {None, is_ordered(queue)}


def _keyed(app: App, queue: str) -> str | None:
    """A task of the queue that has an idempotency key."""
    tasks = app.tasks
    return next((name for name in app.runtime.keyed_tasks() if queue in tasks[name].queues), None)


def _around(
    app: App, *, outbox: str | None, folder: Path | None, installed: Installed
) -> Iterator[Finding | Unchecked]:
    backend = parse_url(app.url)
    yield from look_at_store(app)
    if outbox is not None:
        yield from look_at_outbox(app, outbox)
    store = app.runtime.stores.chosen
    schemes = {backend.scheme}
    if store is not None and store != NATIVE_ONLY:
        schemes.add(parse_store_url(store).scheme.partition("+")[0])
    yield from look_at_program(schemes, installed, traced=app.runtime.tracing is not None)
    if backend.scheme == "sqlite":
        yield from look_at_disk(Path(backend.path).absolute())
    if folder is not None and backend.scheme == "servicebus":
        limits = [task.time_limit for task in app.tasks.values() if task.time_limit is not None]
        yield from look_at_host(folder, max(limits, default=None))
