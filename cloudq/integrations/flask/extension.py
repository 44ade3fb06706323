"""`Cloudq`: the extension of Flask."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, cast

from flask import Flask, current_app, has_app_context
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from cloudq import push
from cloudq.app import App
from cloudq.core.middleware import Middleware
from cloudq.default_app import default
from cloudq.errors import ConfigurationError, nearest
from cloudq.integrations.flask.app_context import InAppContext
from cloudq.integrations.flask.command import cloudq_command
from cloudq.tasks.app_settings import AppSettings
from cloudq.tasks.context import Context

EXTENSION: Final = "cloudq"
"""Its name in `Flask.extensions`."""

PREFIX: Final = "CLOUDQ_"


class Cloudq:
    """An App's tasks in a Flask application.

    Each attempt of a task runs within an application context of its own, as a request does, on every edge: worker,
    pushes, `eager()`, tests. It is popped whatever became of the task, with the task's error for teardown functions.

    Example:
        ```python
        import cloudq
        from flask import Flask, current_app

        from cloudq.integrations.flask import Cloudq

        queue = Cloudq()

        @cloudq.task
        def welcome(user_id: int) -> None:
            current_app.logger.info("welcome, user %s", user_id)

        def create_app() -> Flask:
            web = Flask("shop")
            queue.init_app(web)
            return web
        ```

    Args:
        web: The application, where there is one already; else see `init_app`.
        app: Whose tasks they are; default: the default App's, those of `@cloudq.task`.

    Attributes:
        app: The App.

    Raises:
        ConfigurationError: As `init_app`; or the App's backend is open already.
    """

    def __init__(self, web: Flask | None = None, *, app: App = default) -> None:
        self.app = app
        self._lock = threading.Lock()
        self._web: Flask | None = None
        self._settings: Mapping[str, Any] | None = None
        self._set_back: Callable[[], None] | None = None  # to what the App had before the application's settings
        self._around = InAppContext(self._web_of_task)
        around = self._with_context(app.middleware)
        if app.runtime.lent:  # a test that imports the program late: its runs look at the middleware each time
            app.middleware = tuple(around)
        else:
            app.configure(middleware=around)
        if web is not None:
            self.init_app(web)

    def init_app(self, web: Flask) -> None:
        """Configures the App by the application's `CLOUDQ_*` settings; its tasks run in the application's context.

        The settings are those of `App`, in capitals: `CLOUDQ_URL`, `CLOUDQ_STORE`, `CLOUDQ_DEFAULT_QUEUE`, ... One that
        is `None` is left out, and then the environment's has effect. Nothing is opened.

        A factory may make several applications in a process, with the same settings: a task runs in the context of the
        one whose context it was sent in, where it runs at once, and else of the latest. To give them other settings,
        `close` first. Where a test keeps the App in memory already (`cloudq_app`), that takes the settings' place, and
        they aren't looked at.

        Raises:
            ConfigurationError: A setting isn't known, or can't be used; the App serves an application with other
                settings already, or its backend is open; or the application has another `Cloudq`.
        """
        if web.extensions.get(EXTENSION, self) is not self:
            raise ConfigurationError(
                f"the Flask app {web.name!r} has another Cloudq already", hint="one Cloudq, and one App, an application"
            )
        settings = settings_in(web.config)
        with self._lock:
            if self._settings is None and not self.app.runtime.lent:
                self._restore()
                around = self._with_context(settings.get("middleware", self.app.middleware))
                self._set_back = self.app.settings_in_force()
                self.app.configure(**cast("AppSettings", {**settings, "middleware": around}))
                self._settings = settings
            elif self._settings not in (None, settings):
                raise ConfigurationError(
                    "this Cloudq serves a Flask app with other CLOUDQ_ settings already",
                    hint="close() it before, as in a test; or a Cloudq(app=...) for each application",
                )
            self._web = web
        web.extensions[EXTENSION] = self
        web.cli.add_command(cloudq_command)

    def mount_push(self, web: Flask, path: str, settings: push.PushSettings | None = None) -> None:
        """Takes pushes (Cloud Tasks, Pub/Sub, Eventarc) below a path of the application: see `cloudq.push.wsgi`.

        Mounted beside the application's own views, not among them: who pushes has no session and no CSRF token, so
        nothing that stands before views (`before_request`, a login, a check of tokens) gets to see it, and nothing
        reads a body before its sender is verified.

        Args:
            web: The application.
            path: Where, `"/tasks"`; the `target` of the backend's URL has to end in it.
            settings: How, and from whom pushes are taken.

        Raises:
            ConfigurationError: `path` isn't the path of a folder below the root.
        """
        if not path.startswith("/") or path.endswith("/"):
            raise ConfigurationError(f"{path!r} is no path to mount at", hint='mount_push(web, "/tasks")')
        taking = push.wsgi(self.app, settings)
        web.wsgi_app = DispatcherMiddleware(web.wsgi_app, {path: taking})  # type: ignore[method-assign]  # as Flask's documentation does

    def close(self) -> None:
        """Closes the App's backend, and lets `init_app` configure it anew: between tests, say.

        The App's settings are again those that it had before.
        """
        with self._lock:
            self.app.close()
            self._web = self._settings = None
            self._restore()

    def _restore(self) -> None:
        if self._set_back is not None and not self.app.is_open:  # a driver that a test has lent stays open: later then
            self._set_back()
            self._set_back = None

    def _with_context(self, middleware: Iterable[Middleware[Context]]) -> list[Middleware[Context]]:
        """The context outermost, so that other middleware may use it, too; and no other Cloudq's around it."""
        return [self._around, *(one for one in middleware if not isinstance(one, InAppContext))]

    def _web_of_task(self) -> Flask | None:
        if has_app_context() and current_app.extensions.get(EXTENSION) is self:
            web: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # typed as what it stands for
            return web
        return self._web


def settings_in(config: Mapping[str, Any]) -> dict[str, Any]:
    """The App's settings in a Flask configuration, by their own names.

    Raises:
        ConfigurationError: It has a `CLOUDQ_` setting that isn't known.
    """
    known = {f"{PREFIX}{name.upper()}": name for name in ("url", *AppSettings.__annotations__)}
    found = {}
    for name, value in config.items():
        if not name.startswith(PREFIX):
            continue
        if name not in known:
            raise ConfigurationError(
                f"Flask's config has {name}, which is no setting of cloudq", hint=nearest(name, known)
            )
        if value is not None:
            found[known[name]] = value
    return found
