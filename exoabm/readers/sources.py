"""The table of sources: the first that a table's columns fit counts; others are read by common names."""

from __future__ import annotations

from exoabm.readers.instruments import (
    anndata,
    cellprofiler,
    cosmx,
    halo,
    inform,
    mcmicro,
    merscope,
    physicell,
    qupath,
    recorded,
    regionprops,
    visium,
    xenium,
)
from exoabm.readers.source import Source

SOURCES: tuple[Source, ...] = (
    recorded.SOURCE,
    anndata.SOURCE,
    qupath.SOURCE,
    xenium.SOURCE,
    mcmicro.SOURCE,
    cosmx.SOURCE,
    merscope.SOURCE,
    cellprofiler.SOURCE,
    regionprops.SOURCE,
    halo.SOURCE,
    inform.SOURCE,
    visium.SOURCE,
)
PHYSICELL = physicell.SOURCE
"""Known by its form, not by its columns alone; see ``physicell``."""

_WORDS = ("position", "pos", "centroid", "center", "centre", "coordinate", "coord", "location", "loc")
AXES = {
    axis: frozenset(
        {
            axis,
            *(f"{axis}_{word}" for word in _WORDS),
            *(f"{word}_{axis}" for word in _WORDS),
            f"cell_{axis}_position",
        }
    )
    for axis in "xyz"
}
"""Names of a coordinate, in lower case, words joined by ``_``, without a unit."""
TYPES = frozenset(
    {"cell_type", "celltype", "type", "phenotype", "cell_phenotype", "cell_class", "classification"}
)
"""Names of the column of types, written likewise."""
PERHAPS_TYPES = frozenset(
    {
        "annotation", "annotations", "class", "cluster", "clusters", "group", "label", "labels", "leiden",
        "louvain", "nb_clus", "seurat_clusters", "clustername",
        "cluster_name", "cell_types", "celltypes", "classifier_label", "graphclust", "cluster_id", "subclass",
    }
)  # fmt: skip
"""Names that may mean types; proposed, never taken."""
IDS = (
    "cell_id",
    "cellid",
    "cell",
    "object_id",
    "objectid",
    "entityid",
    "id",
    "barcode",
    "index",
    "",
    "__index_level_0__",
)
"""Names of the column that names a cell, written likewise; "" is a column without a name."""
IMAGES = frozenset(
    {
        "image", "imageid", "image_id", "image_name", "imagenumber", "image_number", "filename", "file_name",
        "file", "sample", "sample_id", "sampleid", "sample_name", "slide", "slide_id", "slideid", "section",
        "section_id", "slice", "slice_id", "plane", "library_id", "roi", "roi_id", "fov", "field", "tile",
        "core", "core_id", "tma_core", "patient", "patient_id", "batch", "well", "acquisition_id",
    }
)  # fmt: skip
"""Names that tell images apart in a table of no known source, written likewise."""
TIMES = frozenset({"time", "time_s", "time_h", "time_min", "timepoint", "time_point", "frame", "t"})
"""Names of a time, written likewise."""
