"""AnnData, in HDF5 (``.h5ad``) or Zarr, and SpatialData: positions in ``obsm``, the rest in ``obs``."""

from exoabm.readers.source import Place, Source


def _place(key: str, unit: str = "") -> tuple[Place, Place]:
    x, y, z = ((f"obsm/{key}/{axis}",) for axis in "012")
    return Place(x, y, z, unit), Place(x, y, unit=unit)


SOURCE = Source(
    name="AnnData",
    places=(
        *_place("spatial_um", "um"),
        *_place("spatial"),
        *_place("X_spatial"),
    ),
    unit="none stored: asked for",
    ids=(("_index",),),
    images=("library_id", "sample", "sample_id", "batch", "imageid", "region"),
)
