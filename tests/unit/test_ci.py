"""What CI installs before it tests: the database servers and promtool, where missing, and nothing where it isn't CI."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci/servers"
ALL = ["postgresql", "mariadb-server-core", "mariadb-client-core", "redis-server", "pgbouncer"]
PROGRAMS = ["mariadbd", "my_print_defaults", "redis-server", "pgbouncer"]
JUDGE = "promtool"


class Machine:
    """Programs that say what they were called for, in place of the machine's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.calls = folder / "calls"
        self.policy = folder / "policy-rc.d"
        for name in ("printf", "chmod", "rm", "ls", "timeout", "sh"):
            (self.bin / name).symlink_to(f"/bin/{name}" if Path(f"/bin/{name}").exists() else f"/usr/bin/{name}")
        self.has("id", "echo 0")
        self.has("apt-get", f'{self.policy} || echo "$DEBIAN_FRONTEND $@ | $?" >>{self.calls}')

    def has(self, name: str, does: str = "exit 0") -> None:
        """A program."""
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{does}\n")
        path.chmod(0o755)

    def run(self, **variables: str) -> list[str]:
        """What apt-get was called for."""
        ran = subprocess.run(
            ["/bin/sh", str(SCRIPT)],
            env={
                "PATH": str(self.bin),
                "CI": "true",
                "POLICY": str(self.policy),
                "POSTGRESQL": str(self.folder / "postgresql"),
                **variables,
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (ran.returncode, ran.stderr) == (0, "")
        return self.calls.read_text().splitlines() if self.calls.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_what_is_missing_is_installed(machine: Machine) -> None:
    """After an update, without questions, and no package may start its service meanwhile."""
    update, install, judge = machine.run()
    assert update.endswith(" update | 101")
    assert install.startswith("noninteractive -qq ")
    assert install.endswith(f"install --yes --no-install-recommends {' '.join(ALL)} | 101")
    assert judge.endswith("install --yes --no-install-recommends prometheus | 101"), "by a call of its own"
    assert not machine.policy.exists()


def test_a_policy_of_the_machine_s_own_stays(machine: Machine) -> None:
    """As containers have one."""
    machine.policy.write_text("#!/bin/sh\nexit 101 # the machine's own\n")
    machine.policy.chmod(0o755)
    machine.run()
    assert "the machine's own" in machine.policy.read_text()


def test_only_what_is_missing_is_installed(machine: Machine) -> None:
    """The rest stays as it is."""
    for name in (*PROGRAMS, JUDGE):
        machine.has(name)
    _, install = machine.run()
    assert install.endswith("--no-install-recommends postgresql | 101")


def test_prometheus_alone_is_installed_where_the_servers_are_there(machine: Machine) -> None:
    """It brings promtool."""
    for name in PROGRAMS:
        machine.has(name)
    has_postgresql(machine)
    _, install = machine.run()
    assert install.endswith("--no-install-recommends prometheus | 101")


def has_postgresql(machine: Machine) -> None:
    initdb = machine.folder / "postgresql/15/bin/initdb"
    initdb.parent.mkdir(parents=True)
    initdb.touch()


def test_nothing_is_called_where_all_is_there(machine: Machine) -> None:
    """A second run takes no time."""
    for name in (*PROGRAMS, JUDGE):
        machine.has(name)
    has_postgresql(machine)
    assert machine.run() == []


@pytest.mark.parametrize("where", ["not in CI", "not as root", "not on Debian"])
def test_nothing_is_installed_elsewhere(machine: Machine, where: str) -> None:
    """A developer's machine is nobody's to change."""
    if where == "not as root":
        machine.has("id", "echo 1000")
    if where == "not on Debian":
        (machine.bin / "apt-get").unlink()
    assert machine.run(**{"CI": ""} if where == "not in CI" else {}) == []
    assert not machine.policy.exists()


def test_tests_go_on_where_nothing_can_be_installed(machine: Machine) -> None:
    """Those that want a server say what is missing."""
    machine.has("apt-get", "exit 100")
    assert machine.run() == []
    assert not machine.policy.exists()


def test_it_comes_before_the_tests() -> None:
    """In CI's own script."""
    lines = (SCRIPT.parent / "run").read_text(encoding="utf-8").splitlines()
    assert lines[-2:] == ["sh .ci/servers", "exec make test </dev/null"]
    assert os.access(SCRIPT, os.X_OK)
