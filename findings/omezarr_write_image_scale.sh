#!/usr/bin/env bash
# ome-zarr 0.18.0: `write_image` takes the size and the unit of a pixel, and writes 1 without a unit.
#
# Guess: `axes` with "unit" and `coordinate_transformations` with a scale are written, as by 0.13.0; a deprecated argument
#   still works.
# Seen: 0.18.0 writes scale 1 and no unit. For `coordinate_transformations` there is a DeprecationWarning, which announces
#   a removal in the future and which Python does not show by default; for `unit` there is none. A section with pixels of
#   0.5 um is then read as one with pixels of length 1 without a unit.
# Consequence here: we write the metadata of OME-Zarr ourselves, and tests read scale and unit back.
. "$(dirname "$0")/lib.sh"
packages ome-zarr==0.13.0

cat >scale.py <<'PYTHON'
import sys
from importlib.metadata import version

import numpy as np
import zarr
from ome_zarr.writer import write_image

axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
half = [{"type": "scale", "scale": [0.5, 0.5]}]
root = zarr.open_group("image.zarr", mode="w")
one = {"scaler": None} if version("ome-zarr") == "0.13.0" else {"scale_factors": []}
write_image(np.ones((8, 8)), root, axes=axes, coordinate_transformations=[half], **one)
image = zarr.open_group("image.zarr", mode="r").attrs["ome"]["multiscales"][0]
found = [axis.get("unit") for axis in image["axes"]], image["datasets"][0]["coordinateTransformations"][0]["scale"]
print(f"FINDING ome-zarr {version('ome-zarr')}: units {found[0]}, scale {found[1]}")
kept = (["micrometer"] * 2, [0.5, 0.5])
assert found == (kept if sys.argv[1] == "kept" else ([None] * 2, [1.0, 1.0])), found
PYTHON
"$python" scale.py kept 2>&1 | grep -E '^FINDING|Error'
packages ome-zarr==0.18.0
"$python" scale.py lost 2>&1 | grep -E '^FINDING|Error'
