"""The outbox as an app of Django's."""

from __future__ import annotations

from django.apps import AppConfig


class OutboxConfig(AppConfig):  # type: ignore[misc]  # Django has no types
    """Has migrations for the outbox's tables."""

    name = "cloudq.integrations.django.outbox"
    label = "cloudq_outbox"
    verbose_name = "cloudq's outbox"
    default_auto_field = "django.db.models.BigAutoField"
