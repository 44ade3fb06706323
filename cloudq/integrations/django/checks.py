"""System checks: what `manage.py check` says of `CLOUDQ`, and every command that runs tasks before it begins.

`cloudq.E001`: the URL can't be used. `cloudq.E002`: there is no such database. `cloudq.W001`: the outbox is installed,
and nothing is stored in it. `cloudq.W002`: a back end of Django's tasks takes queues that no worker may know of.
"""

from __future__ import annotations

from typing import Any, Final

from django.apps import apps
from django.conf import settings as django_settings
from django.core import checks

from cloudq.core.url import parse_url
from cloudq.errors import CloudqError
from cloudq.integrations.django.atomic import OUTBOX_APP
from cloudq.integrations.django.settings import in_force

_BACKEND: Final = "cloudq.integrations.django.CloudqBackend"


def register() -> None:
    """Has Django run them."""
    checks.register(check_settings, "cloudq")


def check_settings(**_: Any) -> list[checks.CheckMessage]:
    """What is wrong with the setting. Opens and reaches nothing."""
    settings, found = in_force(), []
    try:
        if (url := settings.app.get("url")) is not None:
            parse_url(url)
    except CloudqError as error:
        found.append(checks.Error(f"CLOUDQ['URL']: {error.message}", hint=error.hint, id="cloudq.E001"))
    if settings.database not in django_settings.DATABASES:
        found.append(
            checks.Error(
                f"CLOUDQ['DATABASE'] is {settings.database!r}, which isn't in DATABASES",
                hint=f"known: {', '.join(django_settings.DATABASES)}",
                id="cloudq.E002",
            )
        )
    if apps.is_installed(OUTBOX_APP) and not settings.on_commit:
        found.append(
            checks.Warning(
                "the outbox's app is installed, and CLOUDQ['ON_COMMIT'] is False, so that nothing is stored in it",
                hint="leave ON_COMMIT out; a single send may say on_commit=False",
                id="cloudq.W001",
            )
        )
    found += [
        checks.Warning(
            f"TASKS[{alias!r}]: QUEUES is empty, and a worker takes only from the queues that tasks declare",
            hint="name those that using(queue_name=...) says in QUEUES, or start workers with --queue for each",
            id="cloudq.W002",
        )
        for alias in _with_any_queue()
    ]
    return found


def _with_any_queue() -> list[str]:
    """The aliases of our back ends that take any queue. By the setting: a back end's own check may warn of nothing."""
    tasks = getattr(django_settings, "TASKS", {})
    ours = {alias: one for alias, one in tasks.items() if one.get("BACKEND") == _BACKEND}
    return [alias for alias, one in ours.items() if "QUEUES" in one and not one["QUEUES"]]
