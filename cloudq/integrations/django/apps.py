"""`"cloudq.integrations.django"` in `INSTALLED_APPS`: the default App by the project's settings, and its tasks."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class CloudqConfig(AppConfig):  # type: ignore[misc]  # Django has no types
    """Configures the default App and imports the module `tasks` of each installed app."""

    name = "cloudq.integrations.django"
    label = "cloudq"
    verbose_name = "cloudq"
    default_auto_field = "django.db.models.BigAutoField"  # else projects without a setting of it are warned of ours

    def ready(self) -> None:
        """Every process of the project knows the tasks from here on: those that send, too."""
        from cloudq.default_app import default
        from cloudq.integrations.django import checks, surroundings
        from cloudq.integrations.django.atomic import hold_sends
        from cloudq.integrations.django.settings import in_force

        checks.register()
        if given := in_force().app:
            default.configure(**given)
        surroundings.prepare(default)
        hold_sends(default)
        autodiscover_modules("tasks")
