"""`default_name`: the name of a task that is given none, by which a worker would import its function."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.machinery import all_suffixes
from keyword import iskeyword
from pathlib import Path
from typing import Any, Final

from cloudq.errors import ConfigurationError, TaskDefinitionError
from cloudq.tasks.project import configured_app, in_packages, module_of, project_file

# The running script, in its own process and in those that multiprocessing starts.
_MAIN: Final = ("__main__", "__mp_main__")
_HINT: Final = 'name it: @cloudq.task("shop.welcome")'


def default_name(function: Callable[..., object]) -> str:
    """`module.qualname`, by the name under which a worker would import it.

    Raises:
        TaskDefinitionError: A worker couldn't find it by name.
    """
    # A module's code that is run without one has no name for what it declares.
    module: str | None = function.__module__
    qualname = function.__qualname__
    if "<" in qualname:
        raise TaskDefinitionError(f"{qualname} is local, so its name means nothing to a worker", hint=_HINT)
    if module is None or module in _MAIN or "<" in module:  # runpy calls a file `<run_path>`
        module = _import_name(_namespace(function, module), qualname)
    return f"{module}.{qualname}"


def _namespace(function: Callable[..., object], module: str | None) -> Mapping[str, Any]:
    """The names of the module that runs. Profilers and debuggers run a script beside a `__main__` of their own."""
    own: Mapping[str, Any] = getattr(inspect.unwrap(function), "__globals__", {})
    if own.get("__name__") == module or module not in sys.modules:
        return own
    return vars(sys.modules[module])


def _import_name(namespace: Mapping[str, Any], qualname: str) -> str:
    """The name under which a worker would import what is running."""
    file, spec = namespace.get("__file__"), namespace.get("__spec__")
    name = getattr(spec, "name", None)
    if name and name not in _MAIN and (file is None or _is_same(getattr(spec, "origin", None), file)):
        return str(name)  # python -m shop.tasks
    if file is None:
        raise TaskDefinitionError(
            f"{qualname} is declared in a session, a notebook, stdin or python -c: a worker can't import that",
            hint=_HINT,
        )
    name, why = _name_of(os.path.abspath(file))  # noqa: PTH100 - a link's own place counts, too
    if why is not None:
        raise TaskDefinitionError(f"{qualname} is declared in {file}, {why}: a worker can't import that", hint=_HINT)
    return name


def _is_same(one: str | None, other: str) -> bool:
    return one is not None and os.path.realpath(one) == os.path.realpath(other)


@lru_cache(maxsize=64)
def _name_of(file: str) -> tuple[str, str | None]:
    """A script's name as a module, and why that is none, if it is none."""
    name, why = _name_by_place(Path(file))
    if "." in name:
        return name, why
    linked, why_linked = _name_by_place(Path(os.path.realpath(file)))  # its package may be where a link leads
    return (linked, why_linked) if "." in linked else (name, why)


def _name_by_place(file: Path) -> tuple[str, str | None]:
    suffix = next((suffix for suffix in all_suffixes() if file.name.endswith(suffix)), None)
    if suffix is None:
        return "", f"whose name doesn't end with {all_suffixes()[0]}"
    folder, parts = in_packages(file.with_name(file.name.removesuffix(suffix) + ".py"))
    parts = [*_without_init(folder), *parts]
    if parts in ([], ["__main__"]):
        return "", "which is run as a folder or an archive"
    for part in parts:
        if not part.isidentifier() or iskeyword(part):
            return "", f"and {part!r} can't be part of a module's name"
    return ".".join(parts), None


def _without_init(folder: Path) -> tuple[str, ...]:
    """The packages without an `__init__.py` above a folder, if the project's app is in the outermost of them."""
    file = project_file(folder)
    if file is None:
        return ()
    try:
        app = configured_app(file)
    except ConfigurationError:
        return ()  # what reads it for its own sake says so
    above = folder.relative_to(file.parent).parts
    top = module_of(app).partition(".")[0] if app else None
    return above[above.index(top) :] if top in above else ()
