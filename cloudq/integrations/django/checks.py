"""System checks: what `manage.py check` says of `CLOUDQ`, and every command that runs tasks before it begins.

`cloudq.E001`: the URL can't be used. `cloudq.E002`: there is no such database. `cloudq.W001`: the outbox is installed,
and nothing is stored in it.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.conf import settings as django_settings
from django.core import checks

from cloudq.core.url import parse_url
from cloudq.errors import CloudqError
from cloudq.integrations.django.atomic import OUTBOX_APP
from cloudq.integrations.django.settings import in_force


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
    return found
