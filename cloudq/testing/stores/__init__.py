"""The store conformance kit: what a store of cloudq must do, as named behaviours.

A store's author writes a `StoreHarness`, subclasses `StoreConformance` in a test file, and runs pytest.
"""

import pytest

# Before they are imported, so that a failed assertion shows its values.
pytest.register_assert_rewrite(
    *(f"{__name__}.{part}" for part in ("claiming", "fencing", "keeping", "noting", "running"))
)

from cloudq.testing.stores.harness import StoreHarness  # noqa: E402 - after the registration above
from cloudq.testing.stores.suite import StoreConformance  # noqa: E402 - as above

__all__ = ["StoreConformance", "StoreHarness"]
