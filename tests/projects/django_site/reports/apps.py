"""The app of the project that has tasks of Django's own."""

from django.apps import AppConfig


class ReportsConfig(AppConfig):
    """As in any project."""

    name = "tests.projects.django_site.reports"
    label = "reports"
