"""The app of the project that has tasks of Django's own."""

from pathlib import Path

from django.apps import AppConfig


class ReportsConfig(AppConfig):
    """As in any project."""

    name = "tests.projects.django_site.reports"
    label = "reports"
    path = str(Path(__file__).parent)  # said, as another checkout may be on sys.path beside this one
