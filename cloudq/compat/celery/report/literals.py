"""What an expression of a source is worth, where that stands there."""

from __future__ import annotations

import ast
from typing import Any

from cloudq.compat.celery.report.findings import UNKNOWN


def value_of(node: ast.expr) -> Any:
    """Its value, or `UNKNOWN` where only running the program would tell."""
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return UNKNOWN
