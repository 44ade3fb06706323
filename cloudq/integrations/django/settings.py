"""`CLOUDQ` in a project's settings: how the default App is configured, and what the integration does by itself.

```python
CLOUDQ = {
    "URL": "sqs://eu-west-1?prefix=shop-",
    "STORE": "postgresql://...",
    "DATABASE": "default",
}
```
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from django.conf import ENVIRONMENT_VARIABLE
from django.conf import settings as django_settings
from django.core.signals import setting_changed

from cloudq.errors import ConfigurationError, kind_of, nearest
from cloudq.tasks.app_settings import AppSettings

NAME: Final = "CLOUDQ"
# What `django-admin startproject` writes into manage.py.
_IN_MANAGE: Final = re.compile(rf"""["']{ENVIRONMENT_VARIABLE}["']\s*,\s*["']([\w.]+)["']""")
_MOST_READ: Final = 65536


class CloudqSettings(NamedTuple):
    """What the setting says.

    Attributes:
        database: The alias whose `atomic()` blocks hold what is sent within them.
        on_commit: Whether they do, unless a send says otherwise.
        carry_language: Whether a task runs in the language and the time zone of its sender.
        app: The settings of the default App that are given, by the names that `App.configure` has for them.
    """

    database: str = "default"
    on_commit: bool = True
    carry_language: bool = False
    app: Mapping[str, Any] = {}


_OWN: Final = {"DATABASE": str, "ON_COMMIT": bool, "CARRY_LANGUAGE": bool}
_OF_THE_APP: Final = {"URL": "url", **{name.upper(): name for name in AppSettings.__annotations__}}


@cache
def in_force() -> CloudqSettings:
    """What `CLOUDQ` says now; in a test within `override_settings`, what that says.

    Raises:
        ConfigurationError: It isn't a mapping, has a key that isn't known, or a value isn't of its type.
    """
    given = getattr(django_settings, NAME, {})
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"{NAME} is a dict, not {kind_of(given)}", hint='CLOUDQ = {"URL": "sqs://eu-west-1"}')
    known = [*_OWN, *_OF_THE_APP]
    for name in given:
        if name not in known:
            raise ConfigurationError(f"{NAME} has no key {name!r}", hint=nearest(str(name).upper(), known))
    for name, kind in _OWN.items():
        if name in given and not isinstance(given[name], kind):
            raise ConfigurationError(
                f"{NAME}[{name!r}] is a {kind.__name__}, not {kind_of(given[name])}",
                hint='the alias of one of DATABASES: "default"' if kind is str else "True or False",
            )
    own = {name.lower(): given[name] for name in _OWN if name in given}
    return CloudqSettings(**own, app={_OF_THE_APP[name]: given[name] for name in given if name not in _OWN})


def _changed(*, setting: str, **_: object) -> None:
    if setting == NAME:
        in_force.cache_clear()


setting_changed.connect(_changed, dispatch_uid="cloudq.settings")


def settings_of(manage: Path) -> str | None:
    """The settings module that a project's `manage.py` names; `None` if it isn't one, or names none."""
    try:
        with manage.open(encoding="utf-8") as file:
            found = _IN_MANAGE.search(file.read(_MOST_READ))
    except (OSError, UnicodeDecodeError):
        return None
    return found.group(1) if found else None


def set_up() -> None:
    """Has Django ready where no `manage.py` has run: by `DJANGO_SETTINGS_MODULE`, else by `./manage.py`.

    Raises:
        ConfigurationError: Neither names the project's settings.
    """
    import django
    from django.apps import apps

    if apps.ready:
        return
    if not django_settings.configured and not os.environ.get(ENVIRONMENT_VARIABLE):
        if (module := settings_of(Path("manage.py"))) is None:
            raise ConfigurationError(
                f"{ENVIRONMENT_VARIABLE} isn't set, and no manage.py in {Path.cwd()} names the settings",
                hint=f"{ENVIRONMENT_VARIABLE}=shop.settings, or start the worker in the project's folder",
            )
        os.environ[ENVIRONMENT_VARIABLE] = module
    django.setup()
