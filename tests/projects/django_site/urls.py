"""The pages of the project: none of its own; tests put theirs in by `override_settings(ROOT_URLCONF=...)`."""

from typing import Any

urlpatterns: list[Any] = []
