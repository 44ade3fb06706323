"""`PushWorker`: `cloudq worker` for a backend that pushes. Serves the edge on uvicorn until it is stopped."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from cloudq.app import App
from cloudq.core.safe_log import SafeLogger
from cloudq.errors import ConfigurationError
from cloudq.push.asgi_app import AsgiApp
from cloudq.push.certificates import is_loopback
from cloudq.push.edge import PushEdge
from cloudq.push.pages import PushPages
from cloudq.push.settings import ZERO, PushSettings
from cloudq.running.counting import metrics_of
from cloudq.running.events import Finished, Snapshot
from cloudq.running.main_loop import MainLoop
from cloudq.running.pages import HealthServer

if TYPE_CHECKING:
    import uvicorn

    from cloudq.running.metrics import MetricsServer

logger = SafeLogger("cloudq.push")

# How long answers may still take after the grace, or after a second signal.
AT_ONCE: Final = timedelta(seconds=3)
BACKLOG: Final = 1024
# Google's front ends keep their connections for longer than this; a server that closes first races with a request.
KEEP_ALIVE_SECONDS: Final = 620
# Connections that do nothing cost little; what a request may cost is bounded elsewhere.
LEAST_CONNECTIONS: Final = 1000
CONNECTIONS_PER_PLACE: Final = 20
# Kept free of connections: for files, the backend, whatever tasks open.
SPARE_FILES: Final = 128
LOCALHOST: Final = "127.0.0.1"


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where a push worker listens, and when it ends.

    Attributes:
        host: The address. Without tokens it must be one of this machine only.
        port: The port; 0 takes a free one.
        grace: How long running tasks may go on after the first signal to stop.
        max_tasks: End after this many tasks; at least 1, or `None` for no end.
        health: Where else `/healthz` and `/readyz` are served, `(host, port)`, or `None`.
        metrics: Where `/metrics` is served for Prometheus, the same.
    """

    host: str = LOCALHOST
    port: int = 8080
    grace: timedelta = timedelta(seconds=30)
    max_tasks: int | None = None
    health: tuple[str, int] | None = None
    metrics: tuple[str, int] | None = None

    def __post_init__(self) -> None:
        """Refuses what can't work.

        Raises:
            ConfigurationError: A number is out of its range.
        """
        if self.grace < ZERO:
            raise ConfigurationError(f"grace is {self.grace}: it can't be negative")
        if self.max_tasks is not None and self.max_tasks < 1:
            raise ConfigurationError(f"max_tasks is {self.max_tasks}: at least 1 is needed")


class PushWorker:
    """Serves the pushes of an app until it is stopped.

    Signals: the first SIGTERM or SIGINT has new pushes answered with 503 and lets what runs finish for `grace`; then,
    or at a second one, what still runs is answered so that it is pushed again, and the worker leaves.

    Args:
        app: Whose tasks to run.
        settings: How, and from whom pushes are taken.
        server: Where it listens.
        on_event: Called for each finished task, in the thread that ran it.

    Raises:
        ConfigurationError: It can't work like this: the address is taken, it isn't known who may push, uvicorn isn't
            installed.
        BackendError: The backend can't be opened.

    Attributes:
        address: Where it listens, with the real port.
    """

    def __init__(
        self,
        app: App,
        settings: PushSettings | None = None,
        server: ServerSettings | None = None,
        *,
        on_event: Callable[[Finished], None] | None = None,
    ) -> None:
        self.app = app
        self.settings = settings = settings or PushSettings()
        self.server = server = server or ServerSettings()
        if settings.insecure_no_auth and not is_loopback(server.host):
            raise ConfigurationError(
                f"without tokens anybody could have tasks run, and {server.host} can be reached from elsewhere",
                hint=f"listen on {LOCALHOST}, or leave insecure_no_auth out",
            )
        metrics = None if server.metrics is None else metrics_of(app)  # before the edge asks who observes
        self._loop = MainLoop(app.clock)
        self.edge = PushEdge(
            app,
            settings,
            max_tasks=server.max_tasks,
            on_change=self._look_if_closed,
            on_event=on_event,
        )
        self.edge.open()
        self._uvicorn = _server(AsgiApp(self.edge), settings)
        pages = PushPages(self.edge)
        self._health: HealthServer | None = None
        if server.health is not None:
            self._health = HealthServer(server.health, pages)
        self._metrics: MetricsServer | None = None
        if server.metrics is not None and metrics is not None:
            from cloudq.running.metrics import MetricsServer

            metrics.watch(pages.standing)
            self._metrics = MetricsServer(server.metrics, metrics)
        self._socket = _listen(server.host, server.port)
        listens, port = self._socket.getsockname()[:2]
        self.address: tuple[str, int] = (str(listens), int(port))
        self._thread = threading.Thread(target=self._serve, name="cloudq-push", daemon=True)

    def run(self) -> int:
        """Serves until it is stopped, or is done. Catches SIGTERM and SIGINT if in the main thread.

        Returns:
            The exit code: 0 done, 1 failed.
        """
        return self._loop.run(start=self._start, look=self._look, shut_down=self._shut_down, close=self._close)

    def stop(self, *, now: bool = False) -> None:
        """As the first signal does, or (`now`) the second. Returns at once; `run` returns when it is done."""
        self._loop.stop(now=now)

    def snapshot(self) -> Snapshot:
        """The counts at this moment."""
        return self.edge.snapshot()

    # ── phases ───────────────────────────────────────────────────────────────────────────────────────────

    def _start(self) -> None:
        self._thread.start()
        for served in (self._health, self._metrics):
            if served is not None:
                served.start()

    def _look_if_closed(self) -> None:
        """Not for each push that was answered: the main thread would wake up in between, to see nothing new."""
        if self.edge.admission.closed:
            self._loop.look_again()

    def _look(self) -> int | None:
        # It closes by itself after `max_tasks`.
        return 0 if self.edge.admission.closed and not self.edge.admission.in_hand else None

    def _shut_down(self) -> None:
        admission = self.edge.admission
        self.edge.stop()
        logger.info("stopping: %d tasks are running", admission.running)
        if not self._wait_until_answered(self.server.grace):
            left = admission.give_up()
            if left:
                logger.warning("%d tasks didn't finish in time; they are pushed again", left)
            self._wait_until_answered(AT_ONCE)

    def _wait_until_answered(self, patience: timedelta) -> bool:
        """Whether all pushes in hand were answered in that time, and before the next signal."""
        return self._loop.wait_while(lambda: bool(self.edge.admission.in_hand), patience)

    def _close(self) -> None:
        self._uvicorn.should_exit = True
        if self._thread.is_alive():
            self._thread.join(AT_ONCE.total_seconds())
        self._socket.close()
        self.edge.close()
        for served in (self._health, self._metrics):
            if served is not None:
                served.stop()

    def _serve(self) -> None:
        try:
            self._uvicorn.run(sockets=[self._socket])
        except BaseException:  # whatever ends the server, the worker has to know
            logger.exception("the server failed")
        finally:
            if not self._uvicorn.should_exit:
                logger.error("the server has ended by itself")
            self._loop.fail()


def _server(app: AsgiApp, settings: PushSettings) -> uvicorn.Server:
    try:
        import uvicorn
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"serving pushes needs the module {error.name!r}, which isn't installed",
            hint="pip install 'cloudq[cloudtasks]'",
        ) from error
    from cloudq.push.connections import LARGEST_HEAD, Connections, bounded

    most, backlog = _room(settings)
    return uvicorn.Server(
        uvicorn.Config(
            app,
            # Pinned: the other parser, which uvicorn takes where it is installed, has no bound for a request's head.
            http=bounded(Connections(most)),
            h11_max_incomplete_event_size=LARGEST_HEAD,
            backlog=backlog,
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
            ws="none",
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=1,
        )
    )


def _room(settings: PushSettings) -> tuple[int, int]:
    """How many connections are held, and how many more may come in one go: as many as there may be open files."""
    most = max(LEAST_CONNECTIONS, CONNECTIONS_PER_PLACE * (settings.concurrency + settings.waiting))
    try:
        import resource
    except ModuleNotFoundError:  # not a POSIX system
        return most, BACKLOG
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return most, BACKLOG
    free = max(1, files - SPARE_FILES)
    backlog = max(1, min(BACKLOG, free // 4))
    return max(1, min(most, free - backlog)), backlog


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        raise ConfigurationError(
            f"pushes can't be served on {host}:{port}: {error}", hint="choose another --port, or another --host"
        ) from error
    # Its connections have it from here; the loop sets it for sockets of its own making only. Without it the body of an
    # answer, which follows its head, waits for the other end to have acknowledged that: 40 ms.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
