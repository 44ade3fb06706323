"""The command line as real processes: signals, pipes, terminals, a full disk, completion."""

from __future__ import annotations

import errno
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

CLOUDQ = [sys.executable, "-c", "import sys; from cloudq.cli import main; sys.exit(main())"]
# A suite that runs in a shell's background hands down that SIGINT is ignored; who sits at a terminal has it.
AT_A_TERMINAL = [
    sys.executable,
    "-c",
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from cloudq.cli import main; sys.exit(main())",
]
REPOSITORY = Path(__file__).parents[2]
TASKS = """
import time
from pathlib import Path
import cloudq

app = cloudq.App()

@app.task("first")
def first(name: str) -> None:
    print("first says", name)
    app.send(second, {"name": name})

@app.task("second")
def second(name: str) -> None:
    Path(name).touch()

@app.task("slow")
def slow(name: str) -> None:
    Path(name + ".began").touch()
    time.sleep(0.5)
    Path(name).touch()
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with `tasks.py`, and no setting of the machine's own."""
    for name in ("CLOUDQ_URL", "CLOUDQ_APP", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "PYTHONUNBUFFERED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("CLOUDQ_APP", "tasks")  # what looks or sends imports no app that nobody named
    (tmp_path / "tasks.py").write_text(TASKS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments, **more):
    return subprocess.run([*CLOUDQ, *arguments], capture_output=True, text=True, timeout=60, check=False, **more)


def until(true, seconds=60):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it didn't happen in time"
        time.sleep(0.01)


def on_terminal(*arguments, answer=None, env=None):
    """Runs on a terminal; returns the exit code and all that was shown.

    Args:
        *arguments: The command line.
        answer: Called with the process and what writes to the terminal, once a question is asked.
        env: Added to the environment.
    """
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", **(env or {})}
    with subprocess.Popen(
        [*AT_A_TERMINAL, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := read(ours):
                shown += part
                if answer is not None and b"[y/N]" in shown:
                    answer(process, lambda typed: os.write(ours, typed))
                    answer = None
            return process.wait(60), shown.decode()
        finally:
            process.kill()
            os.close(ours)


def read(terminal):
    """What is shown next; nothing once the other end is closed."""
    assert select.select([terminal], [], [], 60)[0], "nothing was shown for 60 seconds"
    try:
        return os.read(terminal, 4096)
    except OSError as error:
        if error.errno != errno.EIO:  # how Linux says that the other end is closed
            raise
        return b""


def interrupt(process, _):
    """Presses Ctrl-C once the process waits for a line. Of a signal just before, Python takes notice only after it."""
    stat = Path(f"/proc/{process.pid}/stat")
    until(lambda: not stat.exists() or stat.read_text().rpartition(") ")[2].startswith("S"))
    process.send_signal(signal.SIGINT)


def test_send_and_work(place):
    """From another process: send, work, and what a task prints is the worker's stdout, its log stderr."""
    assert 0 == run("send", "first", '{"name": "done"}').returncode
    worker = run("worker", "--burst")
    assert (0, "first says done\n") == (worker.returncode, worker.stdout)
    assert "backend  sqlite:///" in worker.stderr
    assert (place / "done").exists()


def test_children_send_to_the_workers_backend(place):
    """With `--processes` and `--backend`, what a task sends goes to the same backend."""
    url = f"sqlite:///{place / 'other.db'}"
    assert 0 == run("send", "first", '{"name": "done"}', "--backend", url).returncode
    worker = run("worker", "--burst", "--processes", "2", "--backend", url)
    assert 0 == worker.returncode, worker.stderr
    assert (place / "done").exists()
    assert not (place / "cloudq.db").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_lets_the_running_task_finish(place, number):
    """The first signal lets what runs finish; the exit code is 0."""
    run("send", "slow", '{"name": "done"}')
    with subprocess.Popen([*CLOUDQ, "worker", "--lease", "10"], stderr=subprocess.PIPE, text=True) as worker:
        try:
            until((place / "done.began").exists)
            worker.send_signal(number)
            _, err = worker.communicate(timeout=60)
        finally:
            worker.kill()
    assert 0 == worker.returncode, err
    assert (place / "done").exists()
    assert "Traceback" not in err


def test_reader_that_leaves(place):
    """A reader that has enough closes the pipe: it ends with 1, with no traceback and nothing on stderr."""
    (place / "many.py").write_text(
        "import cloudq\napp = cloudq.App()\nfor number in range(1000):\n    app.task(f'task-{number}')(lambda: None)\n"
    )
    command = " ".join(f"'{part}'" for part in CLOUDQ)
    script = f"{command} tasks --app many --json | head -n 1 > first; echo ${{PIPESTATUS[0]}}"
    piped = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert ("1\n", "") == (piped.stdout, piped.stderr)
    assert "task-0" == json.loads((place / "first").read_text())["name"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_full_disk_is_1(place, monkeypatch, unbuffered):
    """Output that can't be written is a failure, said in one line, whether it shows at the write or at the end."""
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        done = subprocess.run(
            [*CLOUDQ, "version"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert 1 == done.returncode
    assert "cloudq: stdout can't be written: No space left on device" == done.stderr.splitlines()[0]
    assert ["  hint:"] == [line[:7] for line in done.stderr.splitlines()[1:]]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_full_disk_under_the_log_stops_no_worker(place):
    """A stderr that can't be written stops nothing, and the exit code is that of the work."""
    assert 0 == run("send", "second", '{"name": "done"}').returncode
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        worker = subprocess.run([*CLOUDQ, "worker", "--burst"], stderr=full, timeout=60, check=False)
    assert 0 == worker.returncode
    assert (place / "done").exists()


@pytest.mark.parametrize("closed", ["0", "1", "2"])
def test_closed_streams(place, closed):
    """A stream that was closed before the start is as one that leads nowhere; the database doesn't take its place."""
    command = " ".join(f"'{part}'" for part in CLOUDQ)
    script = f"""({command} send second '{{"name": "done"}}' && {command} worker --burst) {closed}>&- """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (0, False) == (done.returncode, "Traceback" in done.stderr), done.stderr
    assert (place / "done").exists()
    assert 0 == json.loads(run("stats", "--json").stdout)["ready"]


def test_an_export_to_a_closed_stdout_is_2(place):
    """It is all about what would be lost."""
    command = " ".join(f"'{part}'" for part in CLOUDQ)
    done = subprocess.run(
        ["bash", "-c", f"{command} dlq export default >&-"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (2, "cloudq: stdout is closed") == (done.returncode, done.stderr.splitlines()[0])


def test_narrow_encoding(place):
    """A locale that doesn't have a character gets it escaped; JSON is UTF-8 all the same."""
    (place / "ü.py").write_text('import cloudq\napp = cloudq.App()\n@app.task("größe")\ndef f(): ...\n', "utf-8")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    text = subprocess.run(
        [*CLOUDQ, "tasks", "--app", "ü"], capture_output=True, timeout=60, check=True, env=environment
    )
    assert b"gr\\xf6\\xdfe" in text.stdout
    as_json = subprocess.run(
        [*CLOUDQ, "tasks", "--app", "ü", "--json"], capture_output=True, timeout=60, check=True, env=environment
    )
    assert "größe" == json.loads(as_json.stdout)["name"]


def test_prompt_on_a_terminal(place):
    """On a terminal a purge asks; yes does it."""
    run("send", "second", '{"name": "x"}')
    code, shown = on_terminal("purge", "default", answer=lambda _, write: write(b"y\n"))
    assert 0 == code, shown
    assert "Delete 1 messages of queue 'default'" in shown
    assert "deleted 1 messages" in shown


def test_interrupted_prompt_is_130(place):
    """Ctrl-C at the prompt ends with 130 and deletes nothing."""
    run("send", "second", '{"name": "x"}')
    code, shown = on_terminal("purge", "default", answer=interrupt)
    assert 130 == code, shown
    assert shown.endswith("[y/N] \r\ncloudq: interrupted\r\n")
    assert 1 == json.loads(run("stats", "--json").stdout)["ready"]


def test_demo_of_this_repository(place):
    """On the repository's own files, in a log: data on stdout, progress in lines, no colours."""
    demo = run("demo", cwd=REPOSITORY)
    assert 0 == demo.returncode, demo.stderr
    assert demo.stdout.endswith("All done.\n")
    assert "reason:       not retried: UnicodeDecodeError" in demo.stdout
    assert "tasks have run" in demo.stderr
    assert "\x1b" not in demo.stdout + demo.stderr
    assert not (REPOSITORY / "demo.db").exists()


def test_demo_on_a_terminal(place):
    """A person sees a bar, in colours, and no colours with NO_COLOR."""
    (place / "notes.md").write_text("delivery settlement delivery")
    code, shown = on_terminal("demo")
    assert 0 == code, shown
    assert "working" in shown
    assert re.search(r"\x1b\[[0-9;]*3[0-9]", shown)
    code, shown = on_terminal("demo", env={"NO_COLOR": "1"})
    assert 0 == code, shown
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", shown)


def test_completion(place):
    """The shell's completion knows the commands, and the script that sets it up is there."""
    words = {"_CLOUDQ_COMPLETE": "complete_bash", "COMP_WORDS": "cloudq dlq re", "COMP_CWORD": "2"}
    assert "redrive\n" == run(env={**os.environ, **words}).stdout
    script = run(env={**os.environ, "_CLOUDQ_COMPLETE": "source_bash"})
    assert "complete" in script.stdout
    assert "_CLOUDQ_COMPLETE" in script.stdout
