"""The paths of the tasks, which may be imported before Django is set up."""

from types import SimpleNamespace

_MODULE = "tests.projects.django_site.reports.tasks"
NAMES = SimpleNamespace(
    **{
        name: f"{_MODULE}.{name}"
        for name in ("add", "aadd", "told", "atold", "fails", "afails", "odd", "not_a_task", "renamed")
    }
)
