"""cloudq in a Django project: `"cloudq.integrations.django"` in `INSTALLED_APPS`, and `CLOUDQ` in its settings.

And `CloudqBackend`, the back end of Django's own tasks, for `TASKS`. Each name is loaded at its first use, as Django
imports its apps before any part of them may be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cloudq.integrations.django.backend import CloudqBackend as CloudqBackend

_HOMES: Final = {"CloudqBackend": "cloudq.integrations.django.backend"}

__all__ = ["CloudqBackend"]


def __getattr__(name: str) -> object:
    """Loads a public name from its home."""
    if (home := _HOMES.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)
