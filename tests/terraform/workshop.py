"""Terraform in a temporary folder, with stub providers: nothing is downloaded, nothing is made anywhere."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
MODULES: Final = ROOT / "terraform"
OLDEST: Final = (1, 9)
PATIENCE: Final = 240  # seconds for one command, on a machine that is busy

_SUMMARY: Final = re.compile(r"(\d+) passed, (\d+) failed(?:, (\d+) skipped)?")


class Failure(AssertionError):
    """A command of Terraform's that failed; its text is what it wrote."""


def missing() -> str | None:
    """What is needed here and isn't there, in words."""
    if shutil.which("terraform") is None:
        return "the terraform command isn't installed"
    for module in ("grpc", "google.protobuf"):
        if importlib.util.find_spec(module) is None:
            return f"the stub providers need {module}"
    asked = subprocess.run(
        ["terraform", "version", "-json"], capture_output=True, text=True, check=True, timeout=PATIENCE, env=_bare()
    )
    version = json.loads(asked.stdout)["terraform_version"]
    if tuple(map(int, version.split(".")[:2])) < OLDEST:
        return f"terraform is {version}, and the modules need {OLDEST[0]}.{OLDEST[1]}"
    return None


def _bare() -> dict[str, str]:
    """The environment without what would change Terraform's doing."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}  # TF_LOG, TF_VAR_…
    return kept | {"CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}


@contextmanager
def stub_providers() -> Iterator[str]:
    """A process that serves all stub providers; what TF_REATTACH_PROVIDERS is set to."""
    with tempfile.TemporaryDirectory(prefix="tf-") as folder:  # a socket's path may have a hundred characters
        command = [sys.executable, "-m", "tests.terraform.stub.provider", folder]
        with subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_bare()
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                attached = process.stdout.readline().strip()
                assert attached, "the stub providers didn't start"
                yield attached
            finally:
                process.stdin.close()  # which ends it
                process.wait(30)


class Workshop:
    """A folder in which copies of the modules are tried, so that nothing is left in the repository.

    Args:
        folder: An empty one.
        attached: What TF_REATTACH_PROVIDERS is set to: the stub providers.
        mirror: Instead of them: a folder with real providers, as `terraform providers mirror` makes it.
    """

    def __init__(self, folder: Path, attached: str | None = None, mirror: str | None = None) -> None:
        self._folder = folder
        self.mirror = Path(mirror or os.devnull)
        configuration = folder / "terraform.tfrc"
        # Nobody's own is read.
        configuration.write_text(
            f'provider_installation {{\n  filesystem_mirror {{\n    path = "{self.mirror}"\n  }}\n}}\n'
        )
        self._environment = _bare() | {"TF_CLI_CONFIG_FILE": str(configuration)}
        if attached is not None:
            self._environment["TF_REATTACH_PROVIDERS"] = attached

    def copy(self, module: str) -> Path:
        """A copy of a module, with its examples and tests."""
        place = Path(tempfile.mkdtemp(dir=self._folder)) / module
        shutil.copytree(MODULES / module, place, ignore=shutil.ignore_patterns(".terraform*"))
        return place

    def run(
        self,
        folder: Path,
        *arguments: str,
        variables: Mapping[str, object] | None = None,
        patience: float = PATIENCE,
    ) -> str:
        """What a command wrote to stdout; it may take `patience` seconds.

        Raises:
            Failure: It failed, or took too long.
        """
        command = ["terraform", *arguments]
        environment = dict(self._environment)
        for name, value in (variables or {}).items():
            environment[f"TF_VAR_{name}"] = value if isinstance(value, str) else json.dumps(value)
        try:
            ended = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, timeout=patience, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise Failure(f"{' '.join(command)} took more than {patience} seconds") from error
        if ended.returncode:
            raise Failure(
                f"{' '.join(command)} in {folder} ended with {ended.returncode}\n{ended.stdout}{ended.stderr}"
            )
        return ended.stdout

    def copy_for_the_mirror(self) -> Path:
        """A copy of the AWS module for the real provider. One before 6.8 refuses 1 MiB: then 256 KiB stand for it."""
        place = self.copy("aws-sqs")
        [binary] = self.mirror.glob("*/hashicorp/aws/*/*/terraform-provider-aws*")
        version = binary.parents[1].name.split(".")
        if tuple(map(int, version[:2])) < (6, 8):
            for path in [*place.rglob("*.tf"), *place.rglob("*.hcl")]:
                text = path.read_text().replace(">= 6.8", f">= {version[0]}.{version[1]}")
                path.write_text(re.sub(r"\b1048576\b", "262144", text))
        return place

    def init(self, folder: Path) -> None:
        """Initialises a folder."""
        self.run(folder, "init", "-input=false", "-no-color", "-backend=false")

    def validate(self, folder: Path) -> None:
        """Validates an initialised folder."""
        self.run(folder, "validate", "-no-color")

    def test(self, folder: Path, *arguments: str) -> int:
        """Runs the tests of an initialised folder. Returns how many runs passed.

        Raises:
            Failure: One failed or was skipped, or there was none.
        """
        said = self.run(folder, "test", "-no-color", *arguments)
        passed, failed, skipped = _counts(said)
        if failed or skipped or not passed:
            raise Failure(f"{passed} runs passed, {failed} failed, {skipped} were skipped\n{said}")
        return passed

    def plan(self, folder: Path, variables: Mapping[str, object] | None = None) -> dict[str, Any]:
        """What an initialised folder would make, as `terraform show -json` has it."""
        self.run(folder, "plan", "-input=false", "-no-color", "-out=plan", variables=variables)
        shown: dict[str, Any] = json.loads(self.run(folder, "show", "-json", "plan"))
        return shown


def _counts(said: str) -> Sequence[int]:
    found = _SUMMARY.search(said)
    if found is None:
        return 0, 0, 0
    return [int(count or 0) for count in found.groups()]


def modules() -> list[str]:
    """The modules' names."""
    return sorted(path.parent.name for path in MODULES.glob("*/versions.tf"))


def examples() -> list[tuple[str, str]]:
    """Each module with each of its examples."""
    return [(module, path.name) for module in modules() for path in sorted((MODULES / module / "examples").iterdir())]
