"""`--processes`: tasks in child processes that die, hang, or lose their parent."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

import pytest

import cloudq
from tests.integration.processes import end, start_python, wait_until, worker

TASKS = """
import asyncio, os, time
from datetime import timedelta
from tenacity import stop_after_attempt, wait_fixed
import cloudq

AGAIN = cloudq.RetryPolicy(stop=stop_after_attempt(2), wait=wait_fixed(0))
app = cloudq.App("sqlite:///queue.db", retry=AGAIN)


def note(text):
    file = os.open("log.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{text} {os.getpid()}".encode() + b"\\n")
    os.close(file)


@app.task("quick")
def quick(number: int) -> None:
    note(f"quick {number}")


@app.task("sleep")
def sleep(seconds: float) -> None:
    note("start")
    time.sleep(seconds)
    note("end")


@app.task("coroutine")
async def coroutine() -> None:
    await asyncio.sleep(0.01)
    note("coroutine")


@app.task("deaf", time_limit=timedelta(seconds=0.5))
def deaf() -> None:
    note("deaf")
    while True:
        try:
            time.sleep(60)
        except Exception:
            note("heard")


@app.task("limited", time_limit=timedelta(seconds=0.2))
def limited() -> None:
    time.sleep(60)


@app.task("leaves")
def leaves() -> None:
    os._exit(3)


@app.task("forks")
def forks() -> None:
    os.fork()
    note("forked")


@app.task("abandons")
def abandons(by_fork: bool) -> None:
    if by_fork and os.fork() == 0:
        time.sleep(60)
        os._exit(0)
    if not by_fork:
        os.posix_spawn("/bin/sleep", ["sleep", "60"], os.environ)
    note("abandoned")
    os._exit(3)


@app.task("interrupted")
def interrupted() -> None:
    note("interrupted")
    raise KeyboardInterrupt


@app.task("ainterrupted")
async def ainterrupted() -> None:
    note("interrupted")
    raise KeyboardInterrupt


@app.task("unleased")
def unleased(context: cloudq.Context) -> None:
    note("start")
    note(f"lost {context.lease_lost.wait(60)}")


@app.task("sends")
def sends() -> None:
    app.send("quick", {"number": 99})
"""


def lines(folder: Path) -> list[str]:
    file = folder / "log.txt"
    return file.read_text().splitlines() if file.exists() else []


def noted(folder: Path, what: str) -> list[int]:
    """The processes that noted it."""
    return [int(line.rpartition(" ")[2]) for line in lines(folder) if line.rpartition(" ")[0] == what]


def runs(pid: int) -> bool:
    """Whether there is such a process, one that has ended and isn't reaped left out."""
    with suppress(ProcessLookupError, FileNotFoundError):
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat")
        return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.fixture
def app(tmp_path: Path) -> Iterator[cloudq.App]:
    (tmp_path / "app.py").write_text(TASKS)
    app = cloudq.App(f"sqlite:///{tmp_path}/queue.db")
    yield app
    app.close()


def dead(app: cloudq.App) -> list[str]:
    return [letter.failure.reason for letter in app.driver().dead_letters("default").peek(limit=10) if letter.failure]


ARGUMENTS = ("--app", "app", "--processes", "2")


@pytest.mark.slow
def test_children_run_tasks_of_all_kinds(tmp_path: Path, app: cloudq.App) -> None:
    """Sync and async tasks run in child processes, each once; what tasks send is worked on, too; it ends with 0."""
    for number in range(20):
        app.send("quick", {"number": number}, queue="default")
    app.send("coroutine", {}, queue="default")
    app.send("sends", {}, queue="default")
    with worker(tmp_path, *ARGUMENTS, "--burst") as process:
        assert 0 == process.wait(60)
        parent = process.pid
    assert sorted([*(f"quick {n}" for n in [*range(20), 99]), "coroutine"]) == sorted(
        line.rpartition(" ")[0] for line in lines(tmp_path)
    )
    assert parent not in {int(line.rpartition(" ")[2]) for line in lines(tmp_path)}


def scraped(folder: Path) -> str:
    """The metrics, or nothing while nobody answers."""
    for place in re.findall(r"metrics on http://(\S+)", (folder / "worker.log").read_text()):
        with suppress(OSError), urlopen(f"http://{place}", timeout=60) as response:
            return str(response.read().decode())
    return ""


@pytest.mark.slow
def test_the_parent_serves_the_metrics_of_all(tmp_path: Path, app: cloudq.App) -> None:
    """What it runs, and what its children report of tasks that send."""
    for _ in range(3):
        app.send("sends", {}, queue="default")
    counts = {
        'cloudq_messages_sent_total{queue="default",result="stored",task="quick"} 3.0',
        'cloudq_tasks_ended_total{outcome="succeeded",queue="default",task="sends"} 3.0',
        'cloudq_tasks_ended_total{outcome="succeeded",queue="default",task="quick"} 3.0',
    }
    with worker(tmp_path, *ARGUMENTS, "--metrics-port", "127.0.0.1:0"):
        wait_until(lambda: counts <= set(scraped(tmp_path).splitlines()), within=60, what="all is counted")
        page = scraped(tmp_path)
    assert "cloudq_worker_slots 2.0" in page
    assert 'cloudq_worker_info{system="sqlite"' in page


@pytest.mark.slow
def test_a_child_that_is_killed(tmp_path: Path, app: cloudq.App) -> None:
    """A task whose process is killed is retried by its policy, in a new process, and dead-lettered in the end."""
    app.send("sleep", {"seconds": 60}, queue="default")
    with worker(tmp_path, *ARGUMENTS, "--max-tasks", "2") as process:
        for attempt in range(2):
            wait_until(lambda seen=attempt: len(noted(tmp_path, "start")) == seen + 1, within=60, what="it runs")
            os.kill(noted(tmp_path, "start")[-1], signal.SIGKILL)
        assert 0 == process.wait(60)
    [reason] = dead(app)
    assert "exited with signal 9 (SIGKILL)" in reason
    assert reason.startswith("gave up after 2 attempts: WorkerDied")
    assert 2 == len(set(noted(tmp_path, "start")))


@pytest.mark.slow
def test_a_task_that_ends_its_process(tmp_path: Path, app: cloudq.App) -> None:
    """A task that leaves with an exit code takes nothing with it but its own child."""
    app.send("leaves", {}, queue="default")
    for number in range(5):
        app.send("quick", {"number": number}, queue="default")
    with worker(tmp_path, *ARGUMENTS, "--burst") as process:
        assert 0 == process.wait(60)
    assert 5 == len(lines(tmp_path))
    [reason] = dead(app)
    assert reason.endswith("exited with code 3")


@pytest.mark.slow
def test_a_fork_that_comes_back_from_its_task_speaks_for_nobody(tmp_path: Path, app: cloudq.App) -> None:
    """A task that returns in its fork too is done once, and the fork's end isn't taken for the next task's."""
    app.send("forks", {}, queue="default")
    with worker(tmp_path, "--app", "app", "--processes", "1") as process:
        wait_until(lambda: len(noted(tmp_path, "forked")) == 2, within=60, what="both came back")
        wait_until(lambda: app.queue("default").stats().in_flight == 0, within=60, what="it is settled")
        first, second = noted(tmp_path, "forked")
        wait_until(lambda: not (runs(first) and runs(second)), within=60, what="the fork has ended")
        app.send("leaves", {}, queue="default")
        wait_until(lambda: bool(dead(app)), within=60, what="the next task's own end is seen")
        assert 0 == end(process)


@pytest.mark.slow
def test_a_fork_that_comes_back_from_a_task_in_a_thread_ends(tmp_path: Path, app: cloudq.App) -> None:
    """With threads too: the fork neither settles nor works on what the worker has in hand."""
    app.send("forks", {}, queue="default")
    with worker(tmp_path, "--app", "app") as process:
        wait_until(lambda: len(noted(tmp_path, "forked")) == 2, within=60, what="both came back")
        [fork] = set(noted(tmp_path, "forked")) - {process.pid}
        wait_until(lambda: not runs(fork), within=60, what="the fork has ended")
        assert 0 == end(process)


@pytest.mark.slow
@pytest.mark.parametrize("by_fork", [True, False])
def test_what_a_dead_child_started_does_not_keep_its_task(tmp_path: Path, app: cloudq.App, by_fork: bool) -> None:
    """The end of a child is seen at once, though a process that its task started lives on."""
    app.send("abandons", {"by_fork": by_fork}, queue="default")
    with worker(tmp_path, *ARGUMENTS, "--max-tasks", "2") as process:
        assert 0 == process.wait(50)  # less than what they sleep
    assert 2 == len(noted(tmp_path, "abandoned"))
    assert dead(app)[0].endswith("exited with code 3")


@pytest.mark.slow
@pytest.mark.parametrize("task", ["interrupted", "ainterrupted"])
def test_a_task_that_raises_no_exception_in_a_child(tmp_path: Path, app: cloudq.App, task: str) -> None:
    """Its policy decides about a KeyboardInterrupt of its own, as with threads; the process goes on."""
    app.send(task, {}, queue="default")
    with worker(tmp_path, *ARGUMENTS, "--burst") as process:
        assert 0 == process.wait(60)
    assert ["not retried: KeyboardInterrupt"] == dead(app)
    assert 1 == len(noted(tmp_path, "interrupted"))


@pytest.mark.slow
def test_soft_and_hard_time_limit(tmp_path: Path, app: cloudq.App) -> None:
    """A blocking call is interrupted at the limit; a task that ignores that is killed 5 s later."""
    app.send("limited", {}, queue="default")
    app.send("deaf", {}, queue="default")
    with worker(tmp_path, *ARGUMENTS, "--max-tasks", "4") as process:
        assert 0 == process.wait(60)
    assert 2 == len(noted(tmp_path, "deaf"))
    assert 2 == len(noted(tmp_path, "heard"))
    soft, hard = sorted(dead(app), key=lambda reason: "hard limit" in reason)
    assert "longer than its time limit of 0:00:00.200000" in soft
    assert "hard limit" in hard


@pytest.mark.slow
def test_children_end_with_their_parent(tmp_path: Path, app: cloudq.App) -> None:
    """When the parent is killed its children end at once, whatever they do: nobody would settle their work."""
    app.send("sleep", {"seconds": 60}, queue="default")
    with worker(tmp_path, *ARGUMENTS) as process:
        wait_until(lambda: bool(noted(tmp_path, "start")), within=60, what="it runs")
        [child] = noted(tmp_path, "start")
        assert runs(child)
        process.kill()
        process.wait()
        wait_until(lambda: not runs(child), within=30, what="the child has ended")


@pytest.mark.slow
def test_sigterm_waits_for_running_children(tmp_path: Path, app: cloudq.App) -> None:
    """At SIGTERM, sent to the whole group as a terminal does, running tasks finish, and the exit code is 0."""
    app.send("sleep", {"seconds": 1.5}, queue="default")
    with worker(tmp_path, *ARGUMENTS) as process:
        wait_until(lambda: bool(noted(tmp_path, "start")), within=60, what="it runs")
        [child] = noted(tmp_path, "start")
        os.kill(child, signal.SIGINT)
        os.kill(child, signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        assert 0 == process.wait(60)
    assert 1 == len(noted(tmp_path, "end"))
    wait_until(lambda: not runs(child), within=60, what="the child has ended")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["grace", "second signal"])
def test_what_does_not_finish_is_given_back(tmp_path: Path, app: cloudq.App, how: str) -> None:
    """At the end of the grace, or at a second signal, the child is killed and its message is receivable at once."""
    app.send("sleep", {"seconds": 60}, queue="default")
    grace = "1" if how == "grace" else "600"
    with worker(tmp_path, *ARGUMENTS, "--grace", grace) as process:
        wait_until(lambda: bool(noted(tmp_path, "start")), within=60, what="it runs")
        [child] = noted(tmp_path, "start")
        process.send_signal(signal.SIGTERM)
        if how == "second signal":
            # Two signals of one kind may be merged into one while the first isn't delivered.
            log = tmp_path / "worker.log"
            wait_until(lambda: "stopping: " in log.read_text(), within=60, what="the first one is heard")
            process.send_signal(signal.SIGTERM)
        assert 0 == process.wait(60)
    wait_until(lambda: not runs(child), within=60, what="the child has ended")
    assert 1 == app.queue("default").stats().ready


@pytest.mark.slow
def test_children_see_that_the_lease_is_lost(tmp_path: Path, app: cloudq.App) -> None:
    """A child's handler sees lease_lost once the message is purged, which ends its lease."""
    app.send("unleased", {}, queue="default")
    with worker(tmp_path, *ARGUMENTS, "--lease", "1") as process:
        wait_until(lambda: bool(noted(tmp_path, "start")), within=60, what="it runs")
        app.queue("default").purge()
        wait_until(lambda: bool(noted(tmp_path, "lost True")), within=60, what="the handler sees it")
        assert 0 == end(process)


@pytest.mark.slow
def test_children_that_cannot_start(tmp_path: Path, app: cloudq.App) -> None:
    """If no child ever loads the app the worker gives up with 1, and says why."""
    (tmp_path / "app.py").write_text(
        TASKS + "\n\nif 'child' in __import__('sys').argv[0]:\n    raise OSError('no GPU')\n"
    )
    with worker(tmp_path, *ARGUMENTS) as process:
        assert 1 == process.wait(90)
    assert (
        "a child process can't start: ConfigurationError: app can't be imported: OSError: no GPU"
        in (tmp_path / "worker.log").read_text()
    )


@pytest.mark.slow
def test_a_stuck_thread_does_not_keep_the_process(tmp_path: Path, app: cloudq.App) -> None:
    """With threads, a handler that never returns is left behind: the process ends with 0 after the grace."""
    app.send("sleep", {"seconds": 600}, queue="default")
    with worker(tmp_path, "--app", "app", "--grace", "0.2") as process:
        wait_until(lambda: bool(noted(tmp_path, "start")), within=60, what="it runs")
        process.send_signal(signal.SIGINT)
        assert 0 == process.wait(60)
    assert 1 == app.queue("default").stats().ready


IDLE = """
import sys, threading, time, resource
from pathlib import Path
sys.path.insert(0, ".")
from cloudq.discovery import load_app
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings

worker = Worker(load_app("app"), WorkerSettings())


def measure():
    time.sleep(1)
    began = resource.getrusage(resource.RUSAGE_SELF)
    time.sleep(10)
    ended = resource.getrusage(resource.RUSAGE_SELF)
    used = ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime
    wakes = (ended.ru_nvcsw - began.ru_nvcsw) / 10
    status = Path("/proc/self/status").read_text()
    resident = int(status.split("VmRSS:")[1].split()[0]) / 1024
    print(f"{used / 10 * 100:.3f} {wakes} {resident:.1f}", file=open("idle.txt", "w"))
    worker.stop()


threading.Thread(target=measure, daemon=True).start()
sys.exit(worker.run())
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc to measure the memory")
def test_an_idle_worker_costs_next_to_nothing(tmp_path: Path, app: cloudq.App) -> None:
    """Over ten seconds without work: some 30 wake-ups a second, which are under 1 % of a core, and under 60 MB.

    The CPU time is printed and not asserted: on a busy machine a wake-up costs twice as much.
    """
    app.queue("default").stats()
    process = start_python(tmp_path, IDLE)
    try:
        assert 0 == process.wait(90)
    finally:
        end(process)
    percent, wakes, megabytes = map(float, (tmp_path / "idle.txt").read_text().split())
    print(f"idle: {percent:.3f} % of a core, {wakes} wake-ups a second, {megabytes:.1f} MB")
    assert wakes < 60
    assert megabytes < 60
