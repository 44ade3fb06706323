"""`CLOUDQ` in the settings, and how Django's project is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudq.errors import ConfigurationError
from cloudq.integrations.django.settings import CloudqSettings, in_force, settings_of

MANAGE = 'import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings.dev")\n'


def test_what_is_left_out(django_site):
    """The default database holds sends, and the App is as it is without Django."""
    assert CloudqSettings() == in_force()
    assert ("default", True, False, {}) == in_force()


def test_what_is_given(django_site):
    """The App's settings by their names in capitals; a test overrides them as any setting."""
    from django.test import override_settings

    with override_settings(CLOUDQ={"URL": "memory://", "DEFAULT_QUEUE": "mail", "DATABASE": "orders"}):
        assert CloudqSettings("orders", app={"url": "memory://", "default_queue": "mail"}) == in_force()
    assert CloudqSettings() == in_force()


@pytest.mark.parametrize(
    ("given", "why", "hint"),
    [
        ("sqs://", "is a dict, not a str", "CLOUDQ = {"),
        ({"URLS": "memory://"}, "no key 'URLS'", "URL"),
        ({"url": "memory://"}, "no key 'url'", "URL"),
        ({"ON_COMMIT": 1}, "['ON_COMMIT'] is a bool, not an int", "True or False"),
        ({"DATABASE": None}, "['DATABASE'] is a str", "alias"),
    ],
)
def test_what_is_wrong_is_said(django_site, given, why, hint):
    """With what to write in its place."""
    from django.test import override_settings

    with override_settings(CLOUDQ=given), pytest.raises(ConfigurationError) as caught:
        in_force()
    assert why in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("text", "module"),
    [(MANAGE, "shop.settings.dev"), (MANAGE.replace('"', "'"), "shop.settings.dev"), ("print(1)", None), (None, None)],
)
def test_the_settings_that_manage_py_names(tmp_path: Path, text: str | None, module: str | None):
    """Read, and not run; what isn't there or isn't one names none."""
    manage = tmp_path / "manage.py"
    if text is not None:
        manage.write_text(text)
    assert module == settings_of(manage)
