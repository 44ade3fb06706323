"""The table of settings, held to Celery's own."""

from __future__ import annotations

from celery.app.defaults import NAMESPACES, flatten

from cloudq.compat.celery.setting_names import SETTINGS, of_result_backends

THEIRS = {name for name, _ in flatten(NAMESPACES)}


def test_each_setting_of_celerys_is_in_the_table() -> None:
    """Or one of a result backend's own, which are refused together."""
    assert len(THEIRS) > 150
    assert set() == {name for name in THEIRS if name not in SETTINGS and not of_result_backends(name)}


def test_the_table_has_no_name_that_celery_never_had() -> None:
    """A slip in it would let the real setting through."""
    assert {"cloudq_priorities"} == set(SETTINGS) - THEIRS
