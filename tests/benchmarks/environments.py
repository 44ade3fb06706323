"""Where each side runs: ours in this environment, the others in theirs.

The others bring packages that change what the SDKs do (OpenTelemetry's among them), so they have an environment of
their own; two of them take a newer Python than ours may be, and have a second one. `make bench` makes both.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

HERE: Final = Path(sys.executable)
"""The interpreter of this environment."""
_MADE: Final = Path(os.environ.get("BENCH_ENVIRONMENTS", sys.prefix))
PEERS: Final = _MADE / "bench/bin/python"
NEWER: Final = next(filter(Path.is_file, [_MADE / "bench-newer/bin/python"]), PEERS)
"""As `PEERS`, with a Python that `django-tasks-sqs` and `aws-sdk-sqs` take: the same where ours is new enough."""
OUTBOX_PEERS: Final = _MADE / "bench-outbox/bin/python"
"""Of `make bench-outbox`: one of its sides takes Python 3.13."""
_ASKS: Final = """
import importlib.metadata, json, platform, sys
versions = {"Python": platform.python_version()}
for name in sys.argv[1:]:
    try:
        versions[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(versions))
"""


class Missing(Exception):
    """A package that a side takes isn't there; says which, and why."""


@functools.cache
def versions(python: Path, *packages: str) -> dict[str, str]:
    """The versions of Python and of these packages in an environment.

    Raises:
        Missing: One isn't installed.
    """
    if not python.is_file():
        raise Missing(f"{packages[0]}: nothing made the environment that it takes, {python.parts[-3]}")
    command = [str(python), "-c", _ASKS, *packages]
    found: dict[str, str] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    if missing := [name for name in packages if name not in found]:
        raise Missing(f"{', '.join(missing)}: not installed for Python {found['Python']} in {python.parts[-3]}")
    return found
