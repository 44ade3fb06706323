"""`manage.py cloudq_prune`: removes what the inbox has kept for long enough. For a job that runs now and then."""

from __future__ import annotations

import json
from typing import Any, Final

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError, CommandParser

from cloudq.errors import CloudqError
from cloudq.integrations.django.inbox.apps import InboxConfig
from cloudq.integrations.django.settings import in_force
from cloudq.user_database.faults import is_missing_table
from cloudq.user_database.upkeep import sweep_inbox

# Of a transaction, which is of the user's own database: a short one.
_A_TIME: Final = 1_000


class Command(BaseCommand):  # type: ignore[misc]  # Django has no types
    """Many short transactions; may run beside everything else, and beside itself."""

    help = (
        "Remove rows of cloudq's inbox that were kept for 62 days, so for longer than any backend keeps a message. "
        "E.g. once a day: manage.py cloudq_prune --database orders"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Where, and for whom the answer is."""
        parser.add_argument("--database", help="The alias of the database. Default: that of CLOUDQ['DATABASE'].")
        parser.add_argument("--json", action="store_true", help="One JSON object, for programs.")

    def handle(self, *_: object, **options: Any) -> None:
        """Removes them; says how many."""
        alias = options["database"] or in_force().database
        removed = 0
        try:
            while True:
                removed += (swept := sweep_inbox(using=alias, limit=_A_TIME))
                if swept < _A_TIME:
                    break
        except CloudqError as error:
            hint = _made_by(alias) if is_missing_table(error) else error.hint
            raise CommandError(f"{error.message}\n  hint: {hint}") from error
        if options["json"]:
            self.stdout.write(json.dumps({"database": alias, "removed": removed}))
        else:
            self.stdout.write(f"{removed} rows removed from cloudq_inbox in {alias}")


def _made_by(alias: str) -> str:
    """What makes the inbox's table in a project's database."""
    migrate = f"manage.py migrate {InboxConfig.label} --database {alias} makes it"
    return migrate if apps.is_installed(InboxConfig.name) else f'{migrate}, with "{InboxConfig.name}" in INSTALLED_APPS'
