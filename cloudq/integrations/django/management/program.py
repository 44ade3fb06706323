"""`ProgramCommand`: a command of `manage.py` that becomes the shell command `cloudq`, for the project's app."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, ClassVar, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser, handle_default_options

APP_VARIABLE: Final = "CLOUDQ_APP"
WORKER_APP: Final = "cloudq.integrations.django.worker_app"


class ProgramCommand(BaseCommand):  # type: ignore[misc]  # Django has no types
    """Checks the project, then gives this process to `cloudq`: signals and exit codes are its own.

    Attributes:
        program: The words before those that are given.
    """

    program: ClassVar[tuple[str, ...]] = ()

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Of Django's own options alone, and without its help: that of `cloudq` says more."""
        return super().create_parser(prog_name, subcommand, add_help=False, allow_abbrev=False, **kwargs)

    def run_from_argv(self, argv: list[str]) -> None:
        """As Django does, but that every word which isn't Django's is `cloudq`'s."""
        own, words = self.create_parser(argv[0], argv[1]).parse_known_args(argv[2:])
        handle_default_options(own)
        # Where the project was found by the folder of manage.py, or by --pythonpath, `cloudq` finds it as well.
        folders = [folder for folder in (own.pythonpath, str(_folder_of(Path(argv[0])))) if folder]
        try:
            self.execute(words=words, folders=folders, **vars(own))
        except CommandError as error:
            if own.traceback:
                raise
            self.stderr.write(str(error))
            sys.exit(error.returncode)

    def handle(self, *_: object, words: tuple[str, ...] = (), folders: tuple[str, ...] = (), **__: object) -> None:
        """Doesn't return: `cloudq` takes the place of this process."""
        environment = {APP_VARIABLE: WORKER_APP, **os.environ}
        paths = [*folders, environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(filter(None, paths)))
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(  # noqa: S606 - our own command line
            sys.executable, [sys.executable, "-m", "cloudq", *self.program, *words], environment
        )


def _folder_of(program: Path) -> Path:
    """Where Python looked first for the program's modules.

    Of `python -m django` that is the folder at hand. The program is a file of Django's then, whose folder has modules
    of the same names as the standard library's.
    """
    return Path.cwd() if program.name == "__main__.py" else program.resolve().parent
