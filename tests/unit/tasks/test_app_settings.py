"""An app's settings: what isn't of its type is refused, by its name."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from cloudq.errors import ConfigurationError
from cloudq.tasks.app_settings import AppSettings, checked_app_settings


def test_what_was_left_out_is_left_out() -> None:
    """`None` as well."""
    assert checked_app_settings(None, {"imports": None, "default_queue": "mail"}) == {"default_queue": "mail"}


def test_every_setting_is_described() -> None:
    """Where its users look for it."""
    described = [line.strip().partition(": ")[0] for line in (AppSettings.__doc__ or "").splitlines()]
    assert set(AppSettings.__annotations__) <= set(described)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"retries": 5}, "no setting 'retries'"),
        ({"imports": "shop.tasks"}, "imports is a list"),
        ({"store": 5}, "store is a text"),
        ({"strict_queues": "yes"}, "strict_queues is True or False"),
        ({"longest_delay": timedelta(0)}, "longest_delay is a timedelta"),
        ({"redact": "secrets"}, "redact is a function"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_what_is_not_of_its_type_is_refused(settings: dict[str, Any], says: str) -> None:
    """Before anything is opened."""
    with pytest.raises(ConfigurationError, match=says):
        checked_app_settings(None, settings)
