"""`app`: the App of the Flask app that `FLASK_APP` names, found as `flask` finds it. For `cloudq --app`.

It is made when it is first asked for: not by who merely imports this.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from click import ClickException
from flask.cli import ScriptInfo

from cloudq.errors import ConfigurationError
from cloudq.integrations.flask.command import FLASK_VARIABLE
from cloudq.integrations.flask.extension import EXTENSION, Cloudq

if TYPE_CHECKING:
    from cloudq.app import App

    app: App


def __getattr__(name: str) -> object:
    """The App; nothing else."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        web = ScriptInfo(os.environ.get(FLASK_VARIABLE)).load_app()
    except ClickException as error:
        raise ConfigurationError(error.format_message(), hint="flask --app shop.web cloudq worker") from error
    queue = web.extensions.get(EXTENSION)
    if not isinstance(queue, Cloudq):
        raise ConfigurationError(
            f"the Flask app {web.name!r} has no cloudq",
            hint="queue = Cloudq(), and where the app is made: queue.init_app(web)",
        )
    return queue.app
