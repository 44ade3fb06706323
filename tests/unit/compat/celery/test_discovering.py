"""Where tasks are."""

from __future__ import annotations

import builtins
from threading import Event, Thread

import pytest

from cloudq.compat.celery import Celery
from cloudq.compat.celery.discovering import import_all, installed_apps
from cloudq.compat.celery.settings import Settings
from cloudq.errors import ConfigurationError


def test_djangos_apps_are_looked_through(django_site, monkeypatch) -> None:
    """Where no packages are named."""
    assert "tests.projects.django_site.shop" in installed_apps()
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "tests.projects.django_site.settings")
    import_all(Settings(), [(installed_apps, "no_such_module_of_h")])


def test_a_package_without_the_module_is_passed_over(tmp_path, monkeypatch) -> None:
    """And one that isn't there."""
    (tmp_path / "found_in_part").mkdir()
    (tmp_path / "found_in_part" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    import_all(Settings(), [(lambda: ["found_in_part", "found_in_part.mail", "not_found"], "tasks")])


def test_a_package_that_misses_a_dependency_is_no_missing_module(tmp_path, monkeypatch) -> None:
    """Its tasks would be unknown to the worker, which would dead-letter their messages."""
    (tmp_path / "misses_one").mkdir()
    (tmp_path / "misses_one" / "__init__.py").write_text("import not_installed_here\n")
    (tmp_path / "misses_one" / "tasks.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"misses_one can't be imported: .*not_installed_here"):
        import_all(Settings(), [(lambda: ["misses_one"], "tasks")])


def test_a_thread_that_finds_django_half_set_up_waits_for_it(django_site, monkeypatch) -> None:
    """It would import models that have no registry yet."""
    import django
    from django.apps import apps

    seen, found = [], Event()
    looks = (lambda: seen.append(apps.ready) or found.set() or (), None)
    second = Thread(target=import_all, args=[Settings(), [looks]])

    def setup() -> None:
        monkeypatch.setattr(apps, "loading", True)
        second.start()
        found.wait(0.05)  # it would be there by then
        monkeypatch.setattr(apps, "ready", True)

    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "tests.projects.django_site.settings")
    monkeypatch.setattr(apps, "ready", False)
    monkeypatch.setattr(apps, "loading", False)
    monkeypatch.setattr(django, "setup", setup)
    import_all(Settings(), [])
    second.join(60)
    assert [True] == seen


def test_in_django_a_worker_runs_tasks_on_fresh_connections(django_site, monkeypatch) -> None:
    """In its surroundings, as the integration's own tasks; not where no settings are named."""
    from cloudq.integrations.django.surroundings import around

    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "tests.projects.django_site.settings")
    assert around in Celery("proj", broker="memory://").cloudq.runtime.edge_middleware
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE")
    assert around not in Celery("proj", broker="memory://").cloudq.runtime.edge_middleware


def test_without_django_it_says_so(monkeypatch) -> None:
    """And what to do."""
    real = builtins.__import__

    def no_django(name, *args, **kwargs):
        if name.startswith("django"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_django)
    with pytest.raises(ConfigurationError, match="there is no Django"):
        installed_apps()
