"""All queues and what can be asked of them: the service's calls without the network. Pure but for the clock."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Final, TypeVar

from cloudq.emulators.cloud_tasks import names
from cloudq.emulators.cloud_tasks.checking import check_queue, complete_queue, stored_task
from cloudq.emulators.cloud_tasks.clock import Clock
from cloudq.emulators.cloud_tasks.filtering import matcher
from cloudq.emulators.cloud_tasks.messages import QueuePb, set_moment
from cloudq.emulators.cloud_tasks.problems import (
    invalid,
    no_queue,
    not_found,
    queue_exists,
    queue_gone_too_recently,
    task_exists,
    task_gone,
)
from cloudq.emulators.cloud_tasks.queues import PAUSED, RUNNING, TaskQueue
from cloudq.emulators.cloud_tasks.settings import Settings
from cloudq.emulators.cloud_tasks.stored import StoredTask
from cloudq.emulators.cloud_tasks.tombstones import Tombstones

QUEUES_A_PAGE: Final = 9_800
TASKS_A_PAGE: Final = 1_000
T = TypeVar("T")


class Store:
    """The state of the service.

    Args:
        settings: How strict it is.
        clock: Where the time comes from.
        changed: Is called with a queue in which something may have become due.
    """

    def __init__(self, settings: Settings, clock: Clock, changed: Callable[[TaskQueue], None]) -> None:
        self.queues: dict[str, TaskQueue] = {}
        self._settings = settings
        self._clock = clock
        self._changed = changed
        self._tasks_gone = Tombstones(settings.task_tombstone)
        self._queues_gone = Tombstones(settings.queue_tombstone)
        self._created = 0

    # ── queues ───────────────────────────────────────────────────────────────────────────────────────────

    def queue(self, name: str) -> TaskQueue:
        """The queue of that name."""
        names.check_queue(name)
        found = self.queues.get(name)
        if found is None:
            raise no_queue()
        return found

    def create_queue(self, parent: str, asked: Any) -> TaskQueue:
        """A new queue, running."""
        name = asked.name
        names.check_queue(name)
        names.check_location(parent)
        if names.location_of(name) != parent:
            raise invalid(f"{name} must begin with {parent}.")
        if name in self.queues:
            raise queue_exists()
        now = self._clock.now()
        if self._queues_gone.has(name, now):
            raise queue_gone_too_recently()
        pb = self._completed(asked)
        pb.state = RUNNING
        pb.ClearField("purge_time")
        queue = self.queues[name] = TaskQueue(pb, now, relaxed=self._settings.relaxed)
        return queue

    def update_queue(self, asked: Any, mask: Any) -> TaskQueue:
        """The queue with other settings: those that the mask names, or all. Creates the queue if it doesn't exist."""
        names.check_queue(asked.name)
        queue = self.queues.get(asked.name)
        if queue is None:
            return self.create_queue(names.location_of(asked.name), asked)
        if mask.paths:
            merged = QueuePb()
            merged.CopyFrom(queue.pb)
            try:
                _clear(merged, mask.paths)
                mask.MergeMessage(asked, merged, True, True)
            except (ValueError, AttributeError) as error:
                raise invalid(f"Invalid update_mask: {error}") from error
        else:
            merged = asked
        pb = self._completed(merged)
        pb.state = queue.pb.state
        pb.ClearField("purge_time")
        if queue.pb.HasField("purge_time"):
            pb.purge_time.CopyFrom(queue.pb.purge_time)
        queue.configure(pb, self._clock.now())
        self._changed(queue)
        return queue

    def delete_queue(self, name: str) -> None:
        """Deletes a queue with its tasks."""
        names.check_queue(name)
        queue = self.queues.pop(name, None)
        if queue is None:
            raise not_found()
        for task in list(queue.tasks.values()):
            queue.remove(task)
        queue.gone = True
        self._queues_gone.add(name, self._clock.now())
        self._changed(queue)

    def purge_queue(self, name: str) -> TaskQueue:
        """Deletes all of a queue's tasks. Their names stay taken."""
        queue = self.queue(name)
        now = self._clock.now()
        for task in list(queue.tasks.values()):
            self._remove(queue, task, now)
        set_moment(queue.pb.purge_time, now)
        self._changed(queue)
        return queue

    def pause_queue(self, name: str) -> TaskQueue:
        """Stops a queue's dispatches."""
        queue = self.queue(name)
        queue.pb.state = PAUSED
        self._changed(queue)
        return queue

    def resume_queue(self, name: str) -> TaskQueue:
        """Lets a queue go on."""
        queue = self.queue(name)
        queue.pb.state = RUNNING
        self._changed(queue)
        return queue

    def list_queues(self, parent: str, filter_: str, size: int, token: str) -> tuple[list[TaskQueue], str]:
        """A page of a location's queues in lexicographical order, and the token of the next page."""
        names.check_location(parent)
        matches = matcher(filter_)
        after = _position(token)
        wanted = _size(size, QUEUES_A_PAGE)
        found = (
            self.queues[name]
            for name in sorted(self.queues)
            if name > after and names.location_of(name) == parent and matches(self.queues[name].pb)
        )
        return _page(found, wanted, lambda queue: queue.name)

    # ── tasks ────────────────────────────────────────────────────────────────────────────────────────────

    def task(self, name: str) -> tuple[TaskQueue, StoredTask]:
        """The task of that name, and its queue."""
        names.check_task(name)
        queue = self.queues.get(names.queue_of(name))
        task = None if queue is None else queue.tasks.get(name)
        if queue is None or task is None:
            raise task_gone() if self._tasks_gone.has(name, self._clock.now()) else not_found()
        return queue, task

    def create_task(self, parent: str, asked: Any) -> StoredTask:
        """A new task."""
        queue = self.queue(parent)
        now = self._clock.now()
        name = asked.name
        if name:
            names.check_new_task(name, parent)
            if name in queue.tasks or self._tasks_gone.has(name, now):
                raise task_exists()
        task = stored_task(
            asked,
            name=name or names.new_task(parent),
            named=bool(name),
            queue=queue.pb,
            now=now,
            settings=self._settings,
            place=self._created,
        )
        self._created += 1
        queue.add(task)
        self._changed(queue)
        return task

    def delete_task(self, name: str) -> None:
        """Deletes a task, whether it is scheduled or dispatched."""
        queue, task = self.task(name)
        self.remove(queue, task)

    def list_tasks(self, parent: str, size: int, token: str) -> tuple[list[StoredTask], str]:
        """A page of a queue's tasks, the oldest first, and the token of the next page."""
        queue = self.queue(parent)
        after = _place(_position(token))
        wanted = _size(size, TASKS_A_PAGE)
        return _page(
            (task for task in queue.tasks.values() if task.place > after), wanted, lambda task: f"{task.place}"
        )

    def remove(self, queue: TaskQueue, task: StoredTask) -> None:
        """A task is over. Its name stays taken."""
        self._remove(queue, task, self._clock.now())
        self._changed(queue)

    def expire(self, queue: TaskQueue, now: datetime) -> None:
        """Removes what has become too old."""
        while (task := queue.expired(now)) is not None:
            self._remove(queue, task, now)

    def _remove(self, queue: TaskQueue, task: StoredTask, now: datetime) -> None:
        queue.remove(task)
        self._tasks_gone.add(task.name, now, random=task.random)

    def _completed(self, asked: Any) -> Any:
        check_queue(asked, relaxed=self._settings.relaxed)
        pb = QueuePb()
        pb.CopyFrom(asked)
        complete_queue(pb, relaxed=self._settings.relaxed)
        return pb


def _clear(pb: Any, paths: Any) -> None:
    """Clears the fields that the paths name: merging alone would leave those that are unset now."""
    for path in paths:
        *holders, last = path.split(".")
        holder = pb
        for name in holders:
            if not holder.HasField(name):
                break
            holder = getattr(holder, name)
        else:
            holder.ClearField(last)


def _size(asked: int, most: int) -> int:
    if asked < 0:
        raise invalid("The page size must not be negative.")
    return min(asked or most, most)


def _page(items: Iterator[T], size: int, position: Callable[[T], str]) -> tuple[list[T], str]:
    page: list[T] = []
    for item in items:
        if len(page) == size:
            return page, base64.urlsafe_b64encode(position(page[-1]).encode()).decode()
        page.append(item)
    return page, ""


def _position(token: str) -> str:
    try:
        return base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
    except ValueError as error:
        raise invalid("Invalid page token.") from error


def _place(position: str) -> int:
    try:
        return int(position) if position else -1
    except ValueError as error:
        raise invalid("Invalid page token.") from error
