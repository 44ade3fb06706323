"""What every test starts from."""

import pytest

from cloudq.default_app import default
from cloudq.registry import Registry


@pytest.fixture(autouse=True)
def no_tasks_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default App is one for the whole process: each test sees it without the tasks that others declared."""
    monkeypatch.setattr(default, "_registry", Registry())
