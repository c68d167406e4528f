"""A reference run of each engine, to the last bit, on every supported version of the libraries.

The checksums hold for this version of exoabm, and held with NumPy 2.4.6 and 2.5.5, Python 3.11 and 3.13, with
AVX-512 and without. A change that moves them moves numbers: it belongs in CHANGELOG.md, marked **numbers**,
and the new checksum here.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from crowded_tissue import crowd

from exoabm import ExosomeModel
from exoabm.output.checkpoint import snapshot
from exoabm.software import arithmetic

REFERENCE = {
    "linear": "f5cf37dc92ebf68a",
    "saturable": "7b457f5a9a015186",
    "voxel": "40d4335ccc592d9a",
    "membrane": "8ceace8f1987492b",
}
WAYS = {"recycling_probability": 0.3, "processing_rate": "20 / h", "diameter_gsd": 1.35}


def reference(case: str, **more: Any) -> ExosomeModel:
    """Cells of three types among zones and held faces, vesicles of many sizes that come and go."""
    single = case in ("voxel", "membrane")
    transport = {"engine": "vesicles", "capture": case} if single else {}
    kinds = {"secretion": "poisson", "release_rate": 1000} if single else {"release_rate": 1000}
    model = crowd(
        3,
        faces="held",
        zones=True,
        saturation="inf" if case == "linear" else "1 nM",
        transport=transport,
        kinds=kinds,
        vesicle=WAYS | more,
        seed=7,
    )
    for _ in range(8):
        model.step()
    return model


def checksum(model: ExosomeModel) -> str:
    """Of all that a run changes; counts of contacts by their values, however many bytes each takes."""
    found, content = hashlib.sha256(), snapshot(model.state)
    for name in sorted(content):
        values = content[name].astype(np.int64) if name.endswith("/counts") else content[name]
        if values.dtype.kind in "fiub":
            found.update(name.encode() + np.ascontiguousarray(values).tobytes())
    return found.hexdigest()[:16]


@pytest.mark.parametrize("case", REFERENCE)
def test_a_reference_run_has_its_bits(case: str) -> None:
    """In fields one unit in the last place of a rate is seen, among single vesicles two percent of it."""
    found = checksum(reference(case))
    assert found == REFERENCE[case], f"{case} is now {found}; arithmetic of this machine: {arithmetic()}"
    planted = 1.02 if case in ("voxel", "membrane") else float(np.nextafter(1.0, 2.0))
    assert checksum(reference(case, half_life=planted)) != found
