"""`Declarations`: an app's tasks, from their decorators to the App of cloudq's that declares them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from threading import RLock, get_ident
from typing import Final

from cloudq.compat.celery.task import Task
from cloudq.errors import CloudqError
from cloudq.tasks.task import Task as CloudqTask


class Declarations:
    """The tasks that an app has been given, which are declared together, at its first use; later ones at once.

    A thread that imports a module has that module to itself until it is done, and the first use in another thread
    imports modules, too. So none of them is imported under the lock, and no decorator waits for it.

    Args:
        find: Imports the modules that have tasks.
        shared: Gives those that are the app's own since the last time, of tasks that are declared without an app.
        begin: Called before the first one is declared.
        declare: Declares one.
        end: Called once all are declared.
    """

    def __init__(
        self,
        *,
        find: Callable[[], None],
        shared: Callable[[], Iterable[Task]],
        begin: Callable[[], object],
        declare: Callable[[Task], CloudqTask[..., object]],
        end: Callable[[], None],
    ) -> None:
        self.by_name: Final[dict[str, Task]] = {}
        self.done = False
        self._find, self._shared = find, shared
        self._begin, self._declare, self._end = begin, declare, end
        self._lock = RLock()
        self._waiting: deque[Task] = deque()
        self._at_it: set[int] = set()

    def add(self, tasks: Iterable[Task]) -> None:
        """Takes tasks. If the others are declared, so are these, by whichever thread declares some now.

        Raises:
            TaskDefinitionError: One can't be declared.
        """
        for task in tasks:
            self.by_name[task.name] = task
            self._waiting.append(task)
        if self.done:
            self._declare_late()

    def take_late(self) -> None:
        """Takes shared tasks, if the others are declared; else those wait for an app that is used.

        Raises:
            TaskDefinitionError: One can't be declared.
        """
        if self.done:
            self.add(self._shared())

    def finalize(self) -> None:
        """Finds tasks, and declares them. What uses the app meanwhile, in the same thread, goes on without.

        Raises:
            ConfigurationError: A setting can't be honoured, or a module can't be imported.
            TaskDefinitionError: A task can't be declared. It and those after it wait for the next time.
        """
        here = get_ident()
        if (self.done and not self._waiting) or here in self._at_it:
            return
        self._at_it.add(here)
        try:
            if not self.done:
                self._find()
            with self._lock:
                if not self.done:
                    self._declare_first()
                self._declare_late()
        finally:
            self._at_it.discard(here)
            if self.done:
                self._declare_late()

    def declare(self, task: Task) -> CloudqTask[..., object]:
        """Declares one, if it isn't yet: a part of its first use."""
        try:
            with self._lock:
                return self._declare(task)
        finally:
            if self.done:
                self._declare_late()

    def _declare_first(self) -> None:
        self.add(self._shared())
        self._begin()
        while self._waiting:
            if not self._is_superseded(self._waiting[0]):
                self._declare(self._waiting[0])
            self._waiting.popleft()  # only now: without it the app would be incomplete, and nothing would say so
        self._end()
        self.done = True
        self.take_late()  # what another thread shared before it saw that

    def _is_superseded(self, task: Task) -> bool:
        """Whether its module was imported once more, after an import that failed: another compilation, of one place."""
        codes = [getattr(one.function, "__code__", None) for one in (task, self.by_name[task.name])]
        places = {(code.co_filename, code.co_firstlineno) for code in codes if code is not None}
        return None not in codes and codes[0] is not codes[1] and len(places) == 1

    def _declare_late(self) -> None:
        # A thread that had the lock looks again after giving it back, so none is left waiting, nor by one that fails.
        failed: CloudqError | None = None
        while self._waiting and self._lock.acquire(blocking=False):
            try:
                if self._waiting:
                    self._declare(self._waiting.popleft())
            except CloudqError as error:
                failed = failed or error
            finally:
                self._lock.release()
        if failed is not None:
            raise failed
