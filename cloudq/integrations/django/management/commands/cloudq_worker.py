"""`manage.py cloudq_worker`: `cloudq worker` for the project, in this process."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser, handle_default_options

WORKER_APP: Final = "cloudq.integrations.django.worker_app"


class Command(BaseCommand):  # type: ignore[misc]  # Django has no types
    """Checks the project, then becomes a worker: signals and exit codes are the worker's own."""

    help = "Run the project's tasks. Takes what `cloudq worker` takes: --queue mail --concurrency 4 --reload."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Of Django's own options alone, and without its help: that of the worker says more."""
        return super().create_parser(prog_name, subcommand, add_help=False, allow_abbrev=False, **kwargs)

    def run_from_argv(self, argv: list[str]) -> None:
        """As Django does, but that every word which isn't Django's is the worker's."""
        own, words = self.create_parser(argv[0], argv[1]).parse_known_args(argv[2:])
        handle_default_options(own)
        # Where the project was found by the folder of manage.py, or by --pythonpath, the worker finds it as well.
        folders = [folder for folder in (own.pythonpath, str(Path(argv[0]).resolve().parent)) if folder]
        try:
            self.execute(words=words, folders=folders, **vars(own))
        except CommandError as error:
            if own.traceback:
                raise
            self.stderr.write(str(error))
            sys.exit(error.returncode)

    def handle(self, *_: object, words: tuple[str, ...] = (), folders: tuple[str, ...] = (), **__: object) -> None:
        """Doesn't return: the worker takes the place of this process."""
        environment = dict(os.environ)
        paths = [*folders, environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(filter(None, paths)))
        app = () if any(word == "--app" or word.startswith("--app=") for word in words) else ("--app", WORKER_APP)
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(  # noqa: S606 - our own command line
            sys.executable, [sys.executable, "-m", "cloudq", "worker", *app, *words], environment
        )
