"""The project that a folder belongs to: its `pyproject.toml`, and the app that it names."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cloudq.errors import ConfigurationError, nearest

PROJECT_FILE: Final = "pyproject.toml"
# What `[tool.cloudq]` may have.
_KEYS: Final = ("app",)


def project_file(start: Path) -> Path | None:
    """The nearest `pyproject.toml`, from `start` upward; `None` where there is none.

    The module that it names is imported and run, so the search upward ends where another user may have put one: at the
    root of the repository, at the home folder, at another file system, at a folder that is neither ours nor root's,
    and at one that everybody may write to. `start` itself is always checked.
    """
    for folder in _upward(start):
        file = folder / PROJECT_FILE
        if file.is_file():
            return file
    return None


def configured_app(file: Path) -> str | None:
    """`[tool.cloudq] app` of a `pyproject.toml`, or `None` where it has none.

    Raises:
        ConfigurationError: The file can't be read, or what it has there is no text.
    """
    import tomllib

    try:
        settings = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigurationError(
            f"{file} can't be read: {error}", hint="correct it, or name the app with --app"
        ) from error
    tool = settings.get("tool", {}).get("cloudq", {})
    if not isinstance(tool, dict):
        return None
    for name in tool:
        if name not in _KEYS:
            raise ConfigurationError(f"[tool.cloudq] in {file} has an unknown key {name!r}", hint=nearest(name, _KEYS))
    app = tool.get("app")
    if app is not None and not isinstance(app, str):
        raise ConfigurationError(f"[tool.cloudq] app in {file} is no text", hint='app = "shop.tasks"')
    return app or None


def module_of(spec: str) -> str:
    """The module that `module`, `module:attribute` or a path to a file names."""
    return spec.partition(":")[0].removeprefix(f".{os.sep}").removesuffix(".py").replace(os.sep, ".")


def in_packages(file: Path) -> tuple[Path, list[str]]:
    """The folder from which a module is imported, and the parts of its name: the packages it is in, and itself."""
    parts = [] if file.stem == "__init__" else [file.stem]
    folder = file.parent
    while _is_package(folder):
        parts.insert(0, folder.name)
        folder = folder.parent
    return folder, parts


def _is_package(folder: Path) -> bool:
    """Whether a folder is imported as a package. Many a project's own folder has an `__init__.py` by mistake."""
    if not (folder / "__init__.py").is_file() or not folder.name.isidentifier() or _is_project(folder):
        return False
    # A user within it means that folder, unless a project is around it.
    return not Path.cwd().is_relative_to(folder) or any(map(_is_project, _upward(folder.parent)))


def _is_project(folder: Path) -> bool:
    return (folder / PROJECT_FILE).is_file() or (folder / ".git").exists()


def _upward(start: Path) -> Iterator[Path]:
    yield start
    try:
        first = start.stat()
        home = _home()
        folder = start
        safe = is_ours(first)
        while safe and folder not in {home, folder.parent} and not (folder / ".git").exists():
            folder = folder.parent
            found = folder.stat()
            safe = found.st_dev == first.st_dev and is_ours(found) and not is_everybodys(found)
            if safe:
                yield folder
    except OSError:
        return  # a folder that may not be looked at is a border, too


def is_ours(found: os.stat_result) -> bool:
    """Whether it belongs to this process's user, or to root."""
    return not hasattr(os, "getuid") or found.st_uid in {os.getuid(), 0}


def is_everybodys(found: os.stat_result) -> bool:
    """Whether every user may write to it."""
    return hasattr(os, "getuid") and bool(found.st_mode & stat.S_IWOTH)


def _home() -> Path | None:
    try:
        return Path.home().resolve()
    except (RuntimeError, OSError):
        return None  # an account without one
