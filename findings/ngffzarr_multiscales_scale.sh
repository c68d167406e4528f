#!/usr/bin/env bash
# ngff-zarr 0.50.0, bioio-ome-zarr 3.8.1: of one OME-Zarr image, frames are 60 s or 1 s apart.
#
# OME-Zarr 0.4 and 0.5 let an image have transformations that hold for all its resolutions, applied after those of each
# one; the specification names as a use a dimension with one scale, and its example puts the time between frames there.
# Guess: two readers of such a file agree on the time between frames, and a copy made with one has the same.
# Seen: bioio multiplies the two scales: 60 s, and pixels of 0.5 um. ngff-zarr gives 1 s and 2 um, with the units, for
#   both versions of the format, and its metadata has None in the place of the transformation. A file that it reads and
#   writes has lost the scale, so that bioio then sees 1 s and 2 um too. There is no message.
# Consequence here: none; `exoabm export` writes scale and translation of the resolution only, which both apply.
. "$(dirname "$0")/lib.sh"
packages ngff-zarr==0.50.0 bioio-ome-zarr==3.8.1 zarr==3.1.6 numpy==2.4.6 dask==2026.8.0

cat >scales.py <<'PYTHON'
import numpy as np
import zarr
from bioio_ome_zarr import Reader
from ngff_zarr import from_ngff_zarr, to_ngff_zarr


def written(version):
    """Three frames of 8 by 8 pixels; pixels of 0.5 um: 0.25 um of the image times 2 of its resolution."""
    path = f"image-{version}.ome.zarr"
    group = zarr.open_group(path, mode="w", zarr_format={"0.4": 2, "0.5": 3}[version])
    group.create_array("0", shape=(3, 8, 8), chunks=(1, 8, 8), dtype="float32")[:] = 1
    second, micrometer = {"type": "time", "unit": "second"}, {"type": "space", "unit": "micrometer"}
    own, common = ([{"type": "scale", "scale": scale}] for scale in ([1.0, 2.0, 2.0], [60.0, 0.25, 0.25]))
    image = {
        "name": "image",
        "axes": [{"name": "t", **second}, {"name": "y", **micrometer}, {"name": "x", **micrometer}],
        "datasets": [{"path": "0", "coordinateTransformations": own}],
        "coordinateTransformations": common,
    }
    if version == "0.4":
        group.attrs["multiscales"] = [{"version": version, **image}]
    else:
        group.attrs["ome"] = {"version": version, "multiscales": [image]}
    return path


def by_bioio(path):
    scale = Reader(path).scale
    return np.array([scale.T, scale.Y, scale.X])


for version in ("0.4", "0.5"):
    path = written(version)
    image = from_ngff_zarr(path)
    ngff = np.array([image.images[0].scale[axis] for axis in "tyx"])
    to_ngff_zarr(f"copy-{version}.ome.zarr", image, version=version)
    bioio, copied = by_bioio(path), by_bioio(f"copy-{version}.ome.zarr")
    print(
        f"FINDING version {version}, s, um, um: bioio {bioio}, ngff-zarr {ngff} "
        f"with units {[*image.images[0].axes_units.values()]}, bioio of the copy by ngff-zarr {copied}"
    )
    assert np.allclose(bioio, [60, 0.5, 0.5])
    assert np.allclose(ngff, [1, 2, 2]) and image.metadata.coordinateTransformations is None
    assert np.allclose(copied, [1, 2, 2])
PYTHON
"$python" -W ignore scales.py 2>&1 | grep -E '^FINDING|Error'
