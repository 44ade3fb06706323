"""An app with tasks of `@cloudq.task`, for the tests that run the project as programs: `DJANGO_SITE_APPS` adds it."""

from pathlib import Path

from django.apps import AppConfig


class LedgerConfig(AppConfig):
    """As in any project."""

    name = "tests.projects.django_site.ledger"
    label = "ledger"
    path = str(Path(__file__).parent)  # said, as another checkout may be on sys.path beside this one
