"""What each process of a project has once Django is set up."""

from __future__ import annotations

SETTINGS = """
from tests.projects.django_site.settings import *

CLOUDQ = {"URL": "memory://", "DEFAULT_QUEUE": "mail"}
"""
LOOK = """
import cloudq
from cloudq.default_app import default
from cloudq.integrations.django import atomic, surroundings

print(sorted(default.tasks), default.url, default.default_queue)
print(default.runtime.open_transaction is atomic.open_here, default.runtime.edge_middleware == (surroundings.around,))
"""


def test_the_default_app_is_the_projects(program, tmp_path):
    """By `CLOUDQ`, with the tasks of each app's module `tasks`; and it looks for Django's transactions."""
    (tmp_path / "own_settings.py").write_text(SETTINGS)
    code = f"import django; django.setup(){LOOK}"
    done = program("-c", code, DJANGO_SETTINGS_MODULE="own_settings", PYTHONSAFEPATH="")
    told = ["['ledger.anote', 'ledger.note', 'ledger.once'] memory:// mail", "True True"]
    assert told == done.stdout.splitlines(), done.stderr


def test_what_is_wrong_with_the_setting_ends_the_start(program, tmp_path):
    """A process that would send elsewhere than its settings say doesn't begin."""
    (tmp_path / "own_settings.py").write_text(SETTINGS.replace("DEFAULT_QUEUE", "DEFAULT_QUEUES"))
    done = program("-c", "import django; django.setup()", DJANGO_SETTINGS_MODULE="own_settings", PYTHONSAFEPATH="")
    assert done.returncode == 1
    assert "CLOUDQ has no key 'DEFAULT_QUEUES'" in done.stderr
