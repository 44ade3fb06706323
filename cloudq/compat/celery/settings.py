"""`Settings`: `app.conf`. Celery's settings by their lower-case names, each looked up in the table when it is set."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from datetime import timedelta
from importlib import import_module
from threading import Lock, get_ident
from typing import Any, Final

from cloudq.compat.celery.setting_names import SETTINGS, of_result_backends
from cloudq.compat.celery.verdicts import check
from cloudq.errors import ConfigurationError, OptionError
from cloudq.queues.names import check_queue

_DEFAULTS: Final[Mapping[str, Any]] = {
    "timezone": "UTC",
    "enable_utc": True,
    "task_default_queue": "celery",
    "task_always_eager": False,
    "task_eager_propagates": False,
    "task_ignore_result": False,
    "result_expires": timedelta(days=1),
    "task_serializer": "json",
    "result_serializer": "json",
    "accept_content": ["json"],
}
OF_APPS: Final = ("broker_url", "result_backend", "task_default_queue")
"""What an App of cloudq's is made by."""
OF_DECLARATIONS: Final = frozenset(
    {
        *("broker_url", "result_backend", "result_expires", "imports", "include", "cloudq_priorities"),
        *("task_default_queue", "task_routes", "task_ignore_result", "task_track_started", "task_time_limit"),
        *("task_soft_time_limit", "task_default_rate_limit", "task_default_priority"),
    }
)
"""What a task is declared by, once."""
# Who says it, the first before the others: the program once it has looked at a setting, the program before that, its
# `add_defaults`, the source.
_LATE, _SET, _ADDED, _READ = range(4)
OLD: Final = ("BROKER_", "CELERY_", "CELERYD_", "CELERYBEAT_", "CELERYMON_")
BACKENDS: Final = ("memory", "sqlite", "sqs", "cloudtasks", "servicebus")
STORES: Final = ("memory", "sqlite", "redis", "rediss", "postgresql", "mysql", "dynamodb")


class Settings(MutableMapping[str, Any]):
    """An app's settings, by attribute or by key. Names that Celery hasn't are the program's own.

    The source is read at the first look at a setting, as by Celery, so that Django's are complete. What the program
    sets itself, by arguments of `Celery` or on `app.conf`, goes before it, whichever comes first; so does
    `add_defaults`. A second source takes the place of the first, and of what was set since that was read.

    Threads that look at the same time each read the source, without a lock: to read it may be to import a module. None
    goes on before it is read, but for what the source itself looks at.
    """

    _values: ChainMap[str, Any]
    _others: Mapping[str, Any]
    _source: Callable[[], Mapping[str, Any]] | None
    _namespace: str | None
    _was_read: bool
    _fixed: dict[str, Any]
    _lock: Lock
    _readers: set[int]

    def __init__(self) -> None:
        vars(self).update(_values=ChainMap({}, {}, {}, {}), _others={}, _source=None, _namespace=None)
        vars(self).update(_was_read=False, _fixed={}, _lock=Lock(), _readers=set())

    def use(self, source: object, namespace: str | None) -> None:
        """Has settings read from an object, a mapping, or what a text names: `"proj.settings"`, `"a.b:c"`.

        Args:
            source: Where they are.
            namespace: The prefix of their names; default: that of the source before.

        Raises:
            ConfigurationError: The tasks are declared, and it changes what they were declared by.
        """
        with self._lock:
            kept = {name: vars(self)[name] for name in ("_source", "_namespace", "_others", "_was_read")}
            layers = [dict(layer) for layer in self._values.maps]
            cleared = (_LATE, _ADDED, _READ) if self._was_read else (_READ,)
            vars(self).update(_was_read=False)  # first: other threads look without the lock, and wait from now on
            vars(self).update(_source=lambda: _given_by(_loaded(source)), _namespace=namespace or self._namespace)
            vars(self).update(_others={})
            for layer in cleared:
                self._values.maps[layer].clear()
        if self._fixed:
            try:
                self.read()
            except BaseException:
                with self._lock:
                    self._values.maps[:] = layers
                    vars(self).update(kept)
                raise

    def read(self) -> None:
        """Reads the source, if it hasn't been.

        Raises:
            ConfigurationError: It can't be read, holds a setting that can't be honoured, or one that was needed before
                it was read: by what the source itself had done.
        """
        # The source may be a module that looks at a setting itself.
        while not self._was_read and (here := get_ident()) not in self._readers:
            source, namespace = self._source, self._namespace
            self._readers.add(here)
            try:
                given = {} if source is None else source()
                read = {name: _checked(name, value) for name, value in _settings_in(given, namespace).items()}
            finally:
                self._readers.discard(here)
            with self._lock:
                if source is self._source and not self._was_read:
                    self._take(given, read)

    def _take(self, given: Mapping[str, Any], read: Mapping[str, Any]) -> None:
        self._values.maps[_READ].update(read)
        for name, value in sorted(self._fixed.items()):
            if self._values.get(name, _DEFAULTS.get(name)) != value:
                self._values.maps[_READ].clear()
                raise _too_late(name)
        vars(self).update(_others=given)
        vars(self).update(_was_read=True)  # last: from now on other threads look without the lock

    def add_defaults(self, defaults: Mapping[str, Any]) -> None:
        """Sets what the program doesn't set itself. As with Celery they go before what sources say.

        Raises:
            ConfigurationError: One of them can't be honoured.
        """
        for name, value in defaults.items():
            self._set(_ADDED, name, value)

    def fix(self, values: Mapping[str, Any]) -> None:
        """Refuses from now on what would change settings that something was made by.

        Args:
            values: What it was made by.
        """
        self._fixed.update(values)

    def __getitem__(self, name: str) -> Any:
        self.read()
        if name in self._values:
            return self._values[name]
        if name in _DEFAULTS:
            return _DEFAULTS[name]
        if name in SETTINGS:
            return None
        return self._others[name]  # the program's own, which Celery gives too

    def __setitem__(self, name: str, value: Any) -> None:
        self._set(_LATE if self._was_read else _SET, name, value)

    def setdefault(self, name: str, default: Any = None) -> Any:
        """Sets what the program has not set: a default of Celery's is no setting of it."""
        self.read()
        if name not in self._values:
            self[name] = default
        return self[name]

    def _set(self, layer: int, name: str, value: Any) -> None:
        hidden = any(name in above for above in self._values.maps[:layer])
        if name in self._fixed and not hidden and value != self.get(name):
            raise _too_late(name)
        self._values.maps[layer][name] = _checked(name, value)

    def __delitem__(self, name: str) -> None:
        self.read()
        if name not in self._values:
            raise KeyError(name)
        for layer in self._values.maps:
            layer.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        self.read()
        return iter({**_DEFAULTS, **self._values})

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the app has no setting {name!r}", name=name, obj=self) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __repr__(self) -> str:
        """The names of what is set; a value may be a password."""
        return f"Settings({', '.join(self._values)})"


def _too_late(name: str) -> ConfigurationError:
    return ConfigurationError(
        f"Celery's setting {name!r} comes too late: the tasks are declared", hint="set it before the first send"
    )


def _refuse_old(name: str) -> None:
    """Celery itself reads some of these, by names of its first versions; passed over they would have no effect."""
    if name.isupper() and name.startswith(OLD):
        raise ConfigurationError(
            f"{name} is a setting of Celery's old kind",
            hint="`celery upgrade settings FILE` writes the new names, or read it with namespace='CELERY'",
        )


def _checked(name: str, value: Any) -> Any:
    if value is None:
        return value
    _refuse_old(name)
    if of_result_backends(name):
        raise ConfigurationError(
            f"Celery's setting {name!r} can't be honoured", hint="the store's URL says it, as result_backend: delete it"
        )
    if name not in SETTINGS or value in ((), [], {}):
        return value
    check(SETTINGS, {name: value}, ConfigurationError, "settings")
    if name == "broker_url":
        return _url(name, value, BACKENDS, "the URL of a backend: sqs://eu-west-1, sqlite:///queue.db")
    if name == "result_backend":
        text = value.removeprefix("db+") if isinstance(value, str) else value
        return _url(name, text, STORES, "the URL of a store: redis://..., postgresql://..., dynamodb://TABLE")
    if name == "task_routes":
        check_routes(value)
    if name == "cloudq_priorities" and not isinstance(value, Mapping):
        raise ConfigurationError(f"{name} has queues by numbers", hint="{9: 'urgent', 5: 'celery'}")
    return value


def _url(name: str, value: object, schemes: tuple[str, ...], hint: str) -> str:
    scheme = value.partition(":")[0].partition("+")[0] if isinstance(value, str) else type(value).__name__
    if not isinstance(value, str) or scheme not in schemes:
        raise ConfigurationError(f"Celery's setting {name!r} names {scheme!r}, which isn't one of cloudq's", hint=hint)
    return value


def routes_in(value: Any) -> Iterator[tuple[Any, Any]]:
    """The patterns of `task_routes`, each with its route, in their order."""
    for part in [value] if isinstance(value, Mapping) or not isinstance(value, (list, tuple)) else value:
        if isinstance(part, Mapping):
            yield from part.items()
        elif isinstance(part, (list, tuple)) and len(part) == 2 and not isinstance(part[1], (list, tuple)):
            yield part[0], part[1]
        elif isinstance(part, (list, tuple)):
            yield from routes_in(part)
        else:
            yield part, None


def check_routes(value: Any) -> None:
    """Refuses routes by anything else than a queue.

    Raises:
        ConfigurationError: By the name of what can't be honoured.
    """
    for pattern, route in routes_in(value):
        if route is None or not (isinstance(pattern, str) or hasattr(pattern, "match")):
            raise ConfigurationError(
                f"task_routes holds {type(pattern).__name__}, a router: it can't be honoured",
                hint="name the queue at the task or at the send, or write a table {pattern: {'queue': ...}}",
            )
        queue, others = (
            (route, []) if isinstance(route, str) else (route.get("queue"), [n for n in route if n != "queue"])
        )
        if others or not isinstance(queue, str):
            raise ConfigurationError(
                f"task_routes: {(others or ['queue'])[0]!r} of {pattern!r} can't be honoured",
                hint="a route is the name of a queue: {'queue': 'mail'}",
            )
        try:
            check_queue(queue)
        except OptionError as error:
            raise ConfigurationError(f"task_routes: {error.message}", hint=error.hint) from error


def _loaded(source: object) -> object:
    if not isinstance(source, str):
        return source
    module, _, attribute = source.partition(":")
    try:
        found: object = import_module(module)
        for part in attribute.split(".") if attribute else ():
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        if attribute or "." not in module or not isinstance(error, ModuleNotFoundError):
            raise ConfigurationError(f"the settings {source!r} can't be imported", hint="check the name") from error
        parent, _, attribute = module.rpartition(".")  # Celery takes "proj.config.Settings", too
        return _loaded(f"{parent}:{attribute}")
    return found


def _given_by(source: object) -> dict[str, Any]:
    """All that an object holds, by its names."""
    return dict(source) if isinstance(source, Mapping) else {n: getattr(source, n) for n in _names_in(source)}


def _settings_in(given: Mapping[str, Any], namespace: str | None) -> dict[str, Any]:
    """The settings among what an object holds: those of lower-case names, and before them those of a namespace.

    A namespace in capitals, `CELERY`, is that of names in capitals: `CELERY_TASK_ROUTES`.
    """
    if not namespace:
        for name in given:
            _refuse_old(name)
    bare = {name: value for name, value in given.items() if name in SETTINGS or of_result_backends(name)}
    if not namespace:
        return bare
    prefix = f"{namespace}_"
    cased = str.upper if prefix.isupper() else str.lower
    return bare | {
        name[len(prefix) :].lower(): value
        for name, value in given.items()
        if name.startswith(cased(prefix)) and name == cased(name)
    }


def _names_in(source: object) -> list[str]:
    return [name for name in dir(source) if not name.startswith("_")]
