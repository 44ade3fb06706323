"""How a child process is started."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import cloudq
from cloudq.worker import interpreter
from cloudq.worker.frames import CannotStart, Channel, Hello, Ready

APP = "import cloudq\napp = cloudq.App('memory://')\n@app.task('t')\ndef t() -> None: ...\n"
ROOT = str(Path(cloudq.__file__).parents[1])


def told(folder: Path, hello: Hello) -> object:
    """What a child says that is started in a folder."""
    ours, theirs = socket.socketpair()
    channel = Channel(ours)
    with theirs:
        child = subprocess.Popen(
            interpreter.command(theirs.fileno()),
            env=interpreter.environment(),
            pass_fds=[theirs.fileno()],
            cwd=folder,
        )
    try:
        channel.send(hello)
        assert channel.wait(60)
        return channel.from_child()
    except OSError as error:
        return error  # it ended before it said anything
    finally:
        channel.close()
        child.wait(60)


@pytest.mark.parametrize("safe_path", [False, True])
def test_no_file_of_the_current_folder_comes_before_the_app(tmp_path: Path, safe_path: bool) -> None:
    """What a child imports first isn't taken from there; the app is, unless the parent's path is safe."""
    (tmp_path / "msgspec.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w')\n")
    (tmp_path / "childish.py").write_text(APP)
    hello = Hello(
        app_spec="childish",
        app_folder=str(tmp_path),
        url="memory://",
        claim_check=None,
        log_format=None,
        log_level=0,
        safe_path=safe_path,
    )
    said = told(tmp_path, hello)
    assert not (tmp_path / "mark").exists()
    assert isinstance(said, CannotStart if safe_path else Ready), said


def test_cloudq_itself_is_found_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also where only the current folder has it, a checkout say, which a child doesn't import from."""
    monkeypatch.setenv("PYTHONPATH", "/a")
    assert os.pathsep.join(["/a", ROOT]) == interpreter.environment()["PYTHONPATH"]
    monkeypatch.setenv("PYTHONPATH", ROOT)
    assert ROOT == interpreter.environment()["PYTHONPATH"]
    monkeypatch.delenv("PYTHONPATH")
    monkeypatch.setattr("cloudq.worker.interpreter.sysconfig.get_path", lambda _name: ROOT)
    assert "PYTHONPATH" not in interpreter.environment()


def test_it_is_this_interpreter() -> None:
    """That of the worker's own environment, with its packages."""
    assert [sys.executable, "-P", "-m", "cloudq.worker.child", "7"] == interpreter.command(7)


def test_a_child_whose_parent_has_gone_stops_what_it_has_started(tmp_path: Path) -> None:
    """It is no error of the app's, and nothing is to be run."""
    (tmp_path / "late.py").write_text(
        APP + "from pathlib import Path\napp.on_stop(lambda: Path('stopped').write_text(''))\n"
    )
    ours, theirs = socket.socketpair()
    with theirs:
        child = subprocess.Popen(
            interpreter.command(theirs.fileno()),
            env=interpreter.environment(),
            pass_fds=[theirs.fileno()],
            cwd=tmp_path,
        )
    channel = Channel(ours)
    channel.send(
        Hello(
            app_spec="late",
            app_folder=str(tmp_path),
            url="memory://",
            claim_check=None,
            log_format=None,
            log_level=0,
        )
    )
    channel.close()
    assert 0 == child.wait(60)
    assert (tmp_path / "stopped").exists()
