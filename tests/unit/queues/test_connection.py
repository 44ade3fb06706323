"""Which database an app has, and keeps."""

import os
import signal
import subprocess
import sys

import pytest

from cloudq import App, BackendError
from cloudq.queues import connection

CHANGES_ITS_FOLDER = """
import os, sys
import cloudq
first, second, given = sys.argv[1:]
os.chdir(first)
app = cloudq.App(given or None)

@app.task("job")
def job(x: int) -> None: ...

if not given:
    job.send(x=1)
os.chdir(second)
job.send(x=2)
pid = os.fork()
if pid == 0:
    job.send(x=3)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
app.close()
job.send(x=4)
print(app.queue("default").stats().ready, "q.db" in os.listdir(first), os.listdir(second))
app.close()
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["given", "environment", "default"])
def test_a_relative_path_is_resolved_once(tmp_path, how):
    """After a change of the folder a child, and the parent after a close, use the file that the app had."""
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    given = "sqlite:///q.db" if how == "given" else ""
    environment = {key: value for key, value in os.environ.items() if key != "CLOUDQ_URL"}
    if how == "environment":
        environment["CLOUDQ_URL"] = "sqlite:///q.db"
    done = subprocess.run(
        [sys.executable, "-c", CHANGES_ITS_FOLDER, tmp_path / "first", tmp_path / "second", given],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    ready = 3 if given else 4
    assert f"{ready} {how != 'default'} []\n" == done.stdout


def test_the_url_in_force_is_absolute(tmp_path, monkeypatch):
    """What an app hands to its worker's processes doesn't depend on the folder that they start in."""
    monkeypatch.chdir(tmp_path)
    app = App("sqlite:///q.db?synchronous=normal")
    monkeypatch.chdir("/")
    assert f"sqlite:///{tmp_path}/q.db?synchronous=normal" == app.url


def test_a_signal_handler_that_sends_while_its_thread_opens_the_backend_is_told_so(tmp_path, monkeypatch):
    """It would wait for itself, for as long as a call may take: an error at once, and the send that opens goes on."""
    app, told = App(f"sqlite:///{tmp_path}/q.db"), []
    open_driver = connection.open_driver

    def interrupted(*arguments):
        def handler(*_):
            with pytest.raises(BackendError, match="is opening the backend") as raised:
                app.send("task", {"number": 2})
            told.append(raised.value)

        before = signal.signal(signal.SIGUSR1, handler)
        try:
            signal.raise_signal(signal.SIGUSR1)
        finally:
            signal.signal(signal.SIGUSR1, before)
        return open_driver(*arguments)

    monkeypatch.setattr(connection, "open_driver", interrupted)
    app.send("task", {"number": 1})
    assert 1 == len(told)
    app.send("task", {"number": 3})
    assert 2 == app.queue("default").stats().ready
    app.close()


def test_a_backend_that_could_not_be_opened_may_be_opened_later(tmp_path, monkeypatch):
    """Whatever was raised meanwhile, the next use tries again."""
    app = App(f"sqlite:///{tmp_path}/q.db")
    with monkeypatch.context() as patch:
        patch.setattr(connection, "open_driver", lambda *_: sys.exit(1))
        with pytest.raises(SystemExit):
            app.send("task", {"number": 1})
    app.send("task", {"number": 2})
    assert 1 == app.queue("default").stats().ready
    app.close()
