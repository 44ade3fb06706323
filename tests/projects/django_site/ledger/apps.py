"""An app with tasks of `@cloudq.task`, for the tests that run the project as programs: `DJANGO_SITE_APPS` adds it."""

from django.apps import AppConfig


class LedgerConfig(AppConfig):
    """As in any project."""

    name = "tests.projects.django_site.ledger"
    label = "ledger"
