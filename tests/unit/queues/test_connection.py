"""Which database an app has, and keeps."""

import os
import subprocess
import sys

import pytest

from cloudq import App

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
