"""The inbox as an app of Django's."""

from __future__ import annotations

from django.apps import AppConfig


class InboxConfig(AppConfig):  # type: ignore[misc]  # Django has no types
    """Has a migration for the inbox's table."""

    name = "cloudq.integrations.django.inbox"
    label = "cloudq_inbox"
    verbose_name = "cloudq's inbox"
    default_auto_field = "django.db.models.BigAutoField"
