"""The library as it was at another revision of this repository."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.measure import ROOT


@contextmanager
def checkout(revision: str) -> Iterator[Path]:
    """A folder with a revision's `cloudq`, for this tree's benchmarks to measure.

    Raises:
        subprocess.CalledProcessError: There is no such revision; git says so.
    """
    packed = subprocess.run(["git", "archive", revision, "cloudq"], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    with tempfile.TemporaryDirectory(prefix="cloudq-bench-") as place, tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        tar.extractall(place, filter="data")
        yield Path(place)
