"""Small row groups for runs that are compared part by part."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from runs_in_parts import GROUP

from exoabm.tables import parquet as tables


@pytest.fixture(scope="module")
def small_groups() -> Iterator[None]:
    """Small row groups, and no time for pictures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "ROWS_PER_GROUP", GROUP)
        patch.setattr("exoabm.output.single_vesicle_events.GROUP", GROUP)
        patch.setattr("exoabm.runs.run_execution.draw_preview", lambda *_, **__: None)
        yield
