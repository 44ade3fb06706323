"""`Connection`: an app's backend, opened at the first use and anew after a fork."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from cloudq.core.clock import SYSTEM_CLOCK, Clock
from cloudq.core.driver import Driver
from cloudq.core.observing import Observer
from cloudq.core.safe_log import SafeLogger
from cloudq.core.shield import shielded
from cloudq.core.signing_keys import SigningKeys
from cloudq.core.tracing import Tracing
from cloudq.core.url import parse_url, rooted
from cloudq.errors import BackendError, ConfigurationError
from cloudq.queues.before_opening import look_before_opening
from cloudq.queues.claim_check import ClaimCheck
from cloudq.queues.cloud_queue import CloudQueue
from cloudq.queues.names import check_queue_name
from cloudq.queues.observed import Observed
from cloudq.queues.opening import open_driver
from cloudq.queues.signing import SigningSettings
from cloudq.queues.urls import URL_VARIABLE, backend_url, claim_check_url

if TYPE_CHECKING:
    from cloudq.queues.letters.editing import KnownTasks

logger = SafeLogger("cloudq")

# Backends of a process that forked: kept, so that the child never closes what its parent still uses.
_inherited: Final[list[object]] = []


class Connection:
    """One app's backend: none at first, then one open driver and the handles of its queues.

    Attributes:
        signing: Which keys sign what is sent, as far as the app was given any.
        given_claim_check: The URL of the store of large payloads that it was given, or `None`.
        clock: Where the time of this app comes from.
        tasks: What is known of the app's tasks, for edits of dead letters.
        observed: Who learns what happens. Changed by `observe` and `trace`.
    """

    def __init__(self) -> None:
        self._given: str | None = None
        # By its text, so that a relative path still names the same file after a change of the folder.
        self._rooted: dict[str, str] = {}
        self.signing = SigningSettings()
        self.given_claim_check: str | None = None
        self.clock: Clock = SYSTEM_CLOCK
        self.tasks: KnownTasks | None = None
        self.observed = Observed()
        self._lock = threading.RLock()
        self._opening = False  # guarded by the lock
        self._open: _Open | None = None
        _connections.add(self)

    @property
    def given(self) -> str | None:
        """The URL that the app was given, or `None`. A relative path in it is resolved when it is set."""
        return self._given

    @given.setter
    def given(self, url: str | None) -> None:
        self._given = None if url is None else rooted(url)

    @property
    def url(self) -> str:
        """The URL in force: the given one, else `CLOUDQ_URL`, else a file in the current folder.

        A relative path in `CLOUDQ_URL`, or that of the default, is resolved at the first use and kept.

        Raises:
            ConfigurationError: None is set where a local file would be lost.
        """
        url = backend_url(self._given)
        return self._rooted.setdefault(url, rooted(url))

    @property
    def url_from(self) -> str:
        """What named the URL in force, for a banner."""
        if self._given is not None:
            return "the App"
        return URL_VARIABLE if os.environ.get(URL_VARIABLE) else "the default"

    @property
    def claim_check_url(self) -> str | None:
        """The URL of the store of large payloads: the given one, else `CLOUDQ_CLAIM_CHECK`, else none."""
        return claim_check_url(self.given_claim_check)

    @property
    def claim_check(self) -> ClaimCheck | None:
        """The store of large payloads, if one is configured; opened with the backend.

        Raises:
            ConfigurationError: A URL can't be used.
            BackendError: The backend can't be opened.
        """
        return self._open_once().claim_check

    @property
    def is_open(self) -> bool:
        """Whether a backend is in use in this process already."""
        opened = self._open
        return opened is not None and opened.pid == os.getpid()

    @property
    def is_lent(self) -> bool:
        """Whether it works with a driver that isn't its own, which another process can't open."""
        opened = self._open
        return opened is not None and opened.lent

    @property
    def driver(self) -> Driver:
        """The driver, opened now if it wasn't.

        Raises:
            ConfigurationError: The URL can't be used.
            BackendError: The backend can't be opened.
        """
        return self._open_once().driver

    def queue(self, name: str) -> CloudQueue:
        """The handle of a queue; the same for the same name.

        Raises:
            OptionError: `name` is no name of a queue.
            ConfigurationError: The URL can't be used.
            BackendError: The backend can't be opened.
        """
        opened = self._open
        if opened is None or opened.pid != os.getpid():
            opened = self._open_anew()
        queue = opened.queues.get(name)
        if queue is None:
            check_queue_name(name)
            # Another thread may do the same; setdefault lets one of them win, so that all share its Batcher.
            queue = opened.queues.setdefault(
                name,
                CloudQueue(
                    name,
                    opened.driver,
                    clock=opened.clock,
                    claim_check=opened.claim_check,
                    keys=opened.keys,
                    tasks=self.tasks,
                    observer=self.observed.observer,
                ),
            )
        return queue

    def observe(self, observer: Observer) -> None:
        """Has another one told of what happens from now on."""
        with self._lock:
            self.observed.add(observer)
            self._tell_open()

    def trace(self, tracing: Tracing) -> None:
        """Has this one make the spans from now on."""
        with self._lock:
            self.observed.tracing = tracing
            self._tell_open()

    def _tell_open(self) -> None:
        """Has a backend that is open already tell those that have just come. With the lock held."""
        opened = self._open
        if opened is not None and opened.pid == os.getpid():
            self.observed.bind(opened.driver, opened.scheme)
            for queue in list(opened.queues.values()):
                queue.observer = self.observed.observer

    def close(self) -> None:
        """Closes the backend, if it is open. The next use opens it again. A lent driver stays."""
        with self._lock:
            opened = self._open
            if opened is None or opened.lent:
                return
            self._open = None
        if opened.pid == os.getpid():
            opened.driver.close()

    @contextmanager
    def lend(self, driver: Driver, clock: Clock, claim_check: str | None = None) -> Iterator[None]:
        """Works with another driver, and perhaps another store, within the block, and doesn't close the driver."""
        store = self._claim_check(claim_check or self.claim_check_url, clock)
        with self._lock:
            before, clock_before = self._open, self.clock
            self._open, self.clock = _Open(driver, clock, store, self.signing.in_force().keys, scheme=None), clock
            self.observed.bind(driver, None)
        try:
            yield
        finally:
            with self._lock:
                self._open, self.clock = before, clock_before
                self.observed.unbind(driver)

    def _open_once(self) -> _Open:
        opened = self._open
        if opened is not None and opened.pid == os.getpid():
            return opened
        return self._open_anew()

    @shielded
    def _open_anew(self) -> _Open:
        with self._lock:
            opened = self._open
            if opened is not None and opened.pid != os.getpid():
                if opened.lent:
                    # Opening the app's own URL instead would send a test's messages to where it never wanted them.
                    raise ConfigurationError(
                        "the app works with a driver that it was given before this process was forked",
                        hint="fork before App.using() or in_memory(), or give the child's app a driver of its own",
                    )
                _inherited.append(opened)
                opened = None
            # Another thread may have opened it while this one waited for the lock.
            if opened is None:
                if self._opening:  # by this thread, or the lock would be another's: it would wait for itself
                    raise BackendError(
                        "this thread is opening the backend: a signal handler interrupted it and made this call",
                        hint="have the handler note the signal only, and send where the program looks at the note",
                    )
                opened = self._open_it()
            return opened

    def _open_it(self) -> _Open:
        """With the lock held."""
        try:
            self._opening = True
            url = self.url
            look_before_opening(self, url)
            store = self._claim_check(self.claim_check_url, self.clock)
            keys = self.signing.in_force().keys
            driver, scheme = open_driver(url, self.clock), parse_url(url).scheme
            opened = self._open = _Open(driver, self.clock, store, keys, scheme=scheme)
            self.observed.bind(driver, scheme)
            if self.given is None and not os.environ.get(URL_VARIABLE):
                logger.warning("CLOUDQ_URL is not set: tasks are kept in %s", parse_url(url))
            return opened
        finally:
            self._opening = False

    @staticmethod
    def _claim_check(url: str | None, clock: Clock) -> ClaimCheck | None:
        return None if url is None else ClaimCheck(url, clock=clock)

    def _forget_lock(self) -> None:
        self._lock = threading.RLock()
        self._opening = False


class _Open:
    """An open driver and the handles of its queues, of one process."""

    def __init__(
        self,
        driver: Driver,
        clock: Clock,
        claim_check: ClaimCheck | None,
        keys: SigningKeys | None,
        *,
        scheme: str | None,
    ) -> None:
        self.pid = os.getpid()
        self.driver = driver
        self.claim_check = claim_check
        self.keys = keys
        self.clock = clock
        self.scheme = scheme  # of the URL that it was opened by
        self.lent = scheme is None  # neither to be closed here nor to be opened again
        self.queues: dict[str, CloudQueue] = {}


_connections: Final[weakref.WeakSet[Connection]] = weakref.WeakSet()


def _after_fork() -> None:
    # A thread that doesn't exist in the child may have held a lock.
    for connection in list(_connections):
        connection._forget_lock()


os.register_at_fork(after_in_child=_after_fork)
