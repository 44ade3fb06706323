"""The app that a worker of a Django project runs: `cloudq worker --app cloudq.integrations.django.worker_app`."""

from __future__ import annotations

from cloudq.default_app import default
from cloudq.errors import ConfigurationError
from cloudq.integrations.django.settings import set_up

set_up()

from django.apps import apps  # noqa: E402 - there are none before

if not apps.is_installed("cloudq.integrations.django"):
    raise ConfigurationError(
        "the Django project doesn't say what its tasks are: cloudq.integrations.django isn't in its INSTALLED_APPS",
        hint='add "cloudq.integrations.django" there, or name the module that declares the tasks: --app shop.tasks',
    )
app = default
