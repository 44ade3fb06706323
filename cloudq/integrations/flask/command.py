"""`flask cloudq ...`: cloudq's own command line, with the tasks of the Flask app that `flask` was told of."""

from __future__ import annotations

import os
import sys
from typing import Final

import click
from flask.cli import ScriptInfo, pass_script_info

from cloudq.discovery import APP_VARIABLE

APP_SPEC: Final = "cloudq.integrations.flask.located:app"
"""What `--app` and `CLOUDQ_APP` name for the App of the Flask app that `FLASK_APP` names."""

FLASK_VARIABLE: Final = "FLASK_APP"


@click.command(
    "cloudq",
    short_help="Run a worker, and look after queues, with this app's tasks.",
    add_help_option=False,  # its help is that of cloudq's own command line
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@pass_script_info
def cloudq_command(info: ScriptInfo, words: tuple[str, ...]) -> None:
    """Become `cloudq WORDS`, in the same process, so that signals and exit codes are those of the command.

    The Flask app is made anew there, and in each child process of `--processes`, from what names it: no app that was
    made here, with its connections and threads, gets into a worker.
    """
    environment = {**os.environ, APP_VARIABLE: APP_SPEC}
    if info.app_import_path is not None:
        environment[FLASK_VARIABLE] = info.app_import_path
    elif info.create_app is not None:
        raise click.UsageError(
            f"this command makes its Flask app by itself, so a worker can't make one by name: name it with --app, or "
            f"{FLASK_VARIABLE}"
        )
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, "-m", "cloudq", *words], environment)  # noqa: S606 - our own command line
