"""`make bench`: cloudq beside loops over the SDKs and beside other task queues, in one run.

Each measurement is a process of its own, the sides in turn; what is printed are medians, and medians of the ratios of
one turn. Where a side can't be measured, the reason is printed.
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Final

import cloudq
from tests.benchmarks.extent import parser

PARTS: Final = (
    "sqs",
    "mix",
    "sqs_calls",
    "sqlite",
    "django_backends",
    "service_bus",
    "push",
    "push_side",
    "push_strain",
    "start",
)


def main() -> None:
    """Runs the parts that the command line names, or all of them, one after the other."""
    command = parser(__doc__)
    command.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; all of them by default")
    asked = command.parse_args()
    options = [*(["--quick"] if asked.quick else []), *(["--repeats", str(asked.repeats)] if asked.repeats else [])]
    print(f"cloudq {cloudq.__version__}, {time.strftime('%d %B %Y, %H:%M')}", flush=True)
    for part in asked.parts or PARTS:
        subprocess.run([sys.executable, "-m", f"tests.benchmarks.{part}", *options], check=True)


if __name__ == "__main__":
    main()
