"""Those of Django's own tests of its tasks that don't pass with `CloudqBackend`, each with why it can't apply.

A test holds this table to the run: one that passes isn't in it, and one that fails is.
"""

from __future__ import annotations

from typing import Final

_TASKS: Final = "tasks.test_tasks.TaskTestCase"
_DUMMY: Final = "tasks.test_dummy_backend.DummyBackendTestCase"
_CLASS: Final = "asserts that the back end is of the class DummyBackend"
_MUTATES: Final = "changes an object in the dummy's own list, which `refresh` is to read: ours reads a store"

LEFT_OUT: Final = {
    f"{_TASKS}.test_get_backend": _CLASS,
    f"{_TASKS}.test_using_correct_backend": _CLASS,
    f"{_DUMMY}.test_using_correct_backend": _CLASS,
    f"{_DUMMY}.test_refresh_result": _MUTATES,
    f"{_DUMMY}.test_refresh_result_async": _MUTATES,
    f"{_DUMMY}.test_clear": "is of the dummy's `clear`, which no contract has: results are kept for their time",
}
