"""The error for a module of the program that can't be imported."""

from __future__ import annotations

from cloudq.errors import ConfigurationError, place, wording


def not_imported(what: str, error: BaseException) -> ConfigurationError:
    """The error for a module whose import raised another one: what it raised, the program's own line, and what to do.

    Args:
        what: Which module, and for whom: `shop.tasks can't be imported`.
        error: What its import raised.
    """
    text = wording(error)
    said = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return ConfigurationError(f"{what}: {said}{place(error)}", hint=_hint(error))


def _hint(error: BaseException) -> str:
    debug = "--debug shows the whole traceback"
    if type(error).__module__.startswith("django."):
        return f"set DJANGO_SETTINGS_MODULE and call django.setup() before the modules of tasks are imported; {debug}"
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"install what provides {error.name!r} where this runs, or correct the import; {debug}"
    if isinstance(error, ImportError) and "circular import" in str(error):
        return f"two modules import each other: import one of them within a function; {debug}"
    return debug
