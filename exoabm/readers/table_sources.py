"""Instruments and programs whose tables of cells are recognized, and common names of columns."""

from __future__ import annotations

from dataclasses import dataclass

ROW = "the rows of the table, from 1"
NAMELESS = "the column without a name"


@dataclass(frozen=True)
class Coordinates:
    """Columns of coordinates; the mean of several for one axis is used.

    Attributes
    ----------
    x, y, z : tuple of str
        Columns of each axis; ``z`` may be empty.
    unit : str
        Unit where the columns' names do not contain it; "" if unknown.
    within : str
        A column that must have one value, since coordinates restart with each value.
    """

    x: tuple[str, ...]
    y: tuple[str, ...]
    z: tuple[str, ...] = ()
    unit: str = ""
    within: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """All of them, x first."""
        return (*self.x, *self.y, *self.z)


@dataclass(frozen=True)
class TableSource:
    """An instrument or program that writes tables of cells.

    Attributes
    ----------
    name : str
        Name in messages.
    coordinates : tuple of Coordinates
        Alternatives; the first whose columns all exist is used.
    required_columns : tuple of str
        Further columns that a table of this source must have.
    pixels : bool
        Whether coordinates of unknown unit are in pixels; a known unit belongs to the ``Coordinates``.
    typical_pixel_size : str
        A common width of a pixel, as a value of ``layout.unit``.
    types : tuple of str
        Columns of the cell's type; the first that exists is used.
    ids : tuple of tuple of str
        Columns that identify a cell, alone or together; the first that exist are used.
    images : tuple of str
        Columns of images, slides or fields of view, of which only one can be used; also those in ``IMAGES``.
    spanned : tuple of str
        Columns that are named like those of images, over whose values coordinates continue.
    kept : tuple of (str, tuple of str)
        A column, and its values in rows that are cells.
    dropped : tuple of (str, tuple of str)
        A column, and its values in rows that are not cells.
    one_column_per_type : bool
        Types are columns of 0 and 1, one per type.
    class_prefix : bool
        A label ``A: B`` belongs to the class A unless mapped itself.
    y_points_down : bool
        Whether y points downward, as in images.
    note : str
        Remark for users of such tables.
    """

    name: str
    coordinates: tuple[Coordinates, ...]
    required_columns: tuple[str, ...] = ()
    pixels: bool = False
    typical_pixel_size: str = "0.5 um"
    types: tuple[str, ...] = ()
    ids: tuple[tuple[str, ...], ...] = ()
    images: tuple[str, ...] = ()
    spanned: tuple[str, ...] = ()
    kept: tuple[tuple[str, tuple[str, ...]], ...] = ()
    dropped: tuple[tuple[str, tuple[str, ...]], ...] = ()
    one_column_per_type: bool = False
    class_prefix: bool = False
    y_points_down: bool = True
    note: str = ""

    def coordinates_in(self, names: frozenset[str]) -> Coordinates | None:
        """Where this source has its coordinates in a table with these columns, if it is of this source."""
        if not names.issuperset(self.required_columns):
            return None
        return next((each for each in self.coordinates if names.issuperset(each.columns)), None)


def _with_and_without_z(name: str, axes: str, unit: str = "") -> tuple[Coordinates, Coordinates]:
    """Coordinates in columns of this name with each of three axes in place of ``{}``; z may be missing."""
    x, y, z = ((name.format(axis),) for axis in axes)
    return Coordinates(x, y, z, unit), Coordinates(x, y, unit=unit)


SOURCES: tuple[TableSource, ...] = (
    TableSource(  # cells.parquet of a run folder, at the times that were recorded
        name="a run of exoabm",
        coordinates=(Coordinates(("x_um",), ("y_um",), ("z_um",)),),
        required_columns=("time_s", "cell", "cell_type"),
        types=("cell_type",),
        ids=(("cell",),),
        y_points_down=False,
    ),
    *(
        TableSource(  # `export --to cells.h5ad`, with the dead; and `truth.h5ad`
            name="AnnData of a run of exoabm",
            coordinates=(Coordinates(("x_um",), ("y_um",), ("z_um",)),),
            required_columns=("_index", "cell_type", *own),
            types=("cell_type",),
            ids=(("cell",), ("_index",)),
            kept=(("died_s", ("",)),),
            y_points_down=False,
        )
        for own in (("cell", "waste_units"), ("true_type", "model_type"))
    ),
    TableSource(  # HDF5 (.h5ad) or Zarr, and SpatialData: positions in obsm, the rest in obs
        name="AnnData",
        coordinates=(
            *_with_and_without_z("obsm/spatial_um/{}", "012", "um"),
            *_with_and_without_z("obsm/spatial/{}", "012"),
            *_with_and_without_z("obsm/X_spatial/{}", "012"),
        ),
        ids=(("_index",),),
        images=("library_id", "sample", "sample_id", "batch", "imageid", "region"),
    ),
    TableSource(  # Measure > Export measurements, of cells or detections
        name="QuPath",
        coordinates=(
            Coordinates(("Centroid X µm",), ("Centroid Y µm",)),
            Coordinates(("Centroid X px",), ("Centroid Y px",)),
        ),
        types=("Classification", "Class"),
        ids=(("Object ID",),),
        images=("Image",),
        spanned=("TMA core",),
        kept=(("Object type", ("Cell", "Detection")),),
        dropped=(("Name", ("PathAnnotationObject", "PathRootObject", "PathTileObject", "TMACoreObject")),),
        class_prefix=True,
    ),
    TableSource(  # 10x Genomics: cells.parquet or cells.csv.gz of an output bundle
        name="Xenium",
        coordinates=(Coordinates(("x_centroid",), ("y_centroid",), unit="um"),),
        required_columns=("cell_id",),
        ids=(("cell_id",),),
        note="types are in a second table, such as clusters.csv",
    ),
    TableSource(  # quantification tables, and tables of scimap
        name="MCMICRO or scimap",
        coordinates=(Coordinates(("X_centroid",), ("Y_centroid",)),),
        pixels=True,
        typical_pixel_size="0.65 um",
        types=("phenotype",),
        ids=(("CellID",),),
        images=("imageid", "ImageNumber"),
    ),
    TableSource(  # NanoString: the metadata file of a flat-file export
        name="CosMx",
        coordinates=(
            Coordinates(("CenterX_global_px",), ("CenterY_global_px",)),
            Coordinates(("x_slide_mm",), ("y_slide_mm",)),
            Coordinates(("CenterX_local_px",), ("CenterY_local_px",), within="fov"),
        ),
        pixels=True,
        typical_pixel_size="0.12028 um",
        ids=(("cell",), ("fov", "cell_ID")),
        images=("slide_ID", "slide_ID_numeric", "Run_Tissue_name"),
        spanned=("fov",),
    ),
    TableSource(  # Vizgen: cell_metadata.csv
        name="MERSCOPE",
        coordinates=(Coordinates(("center_x",), ("center_y",), unit="um"),),
        required_columns=("fov", "volume"),
        ids=(("EntityID",), ("",)),
        spanned=("fov",),
    ),
    TableSource(  # ExportToSpreadsheet: one object, or several under two header lines
        name="CellProfiler",
        coordinates=(
            *_with_and_without_z("Location_Center_{}", "XYZ"),
            *_with_and_without_z("AreaShape_Center_{}", "XYZ"),
        ),
        pixels=True,
        ids=(("ImageNumber", "ObjectNumber"), ("ObjectNumber",)),
        images=("ImageNumber",),
    ),
    TableSource(  # regionprops_table: axis 0 is y, or z in a volume
        name="steinbock or scikit-image",
        coordinates=(
            Coordinates(("centroid-2",), ("centroid-1",), ("centroid-0",)),
            Coordinates(("centroid-1",), ("centroid-0",)),
        ),
        pixels=True,
        typical_pixel_size="1 um",
        ids=(("Object",), ("label",)),
        images=("image", "Image"),
    ),
    TableSource(  # Indica Labs: object data
        name="HALO",
        coordinates=(Coordinates(("XMin", "XMax"), ("YMin", "YMax")),),
        pixels=True,
        ids=(("Object Id",),),
        images=("Image Location",),
        one_column_per_type=True,
    ),
    TableSource(  # Akoya: *_cell_seg_data.txt
        name="inForm",
        coordinates=(Coordinates(("Cell X Position",), ("Cell Y Position",)),),
        types=("Phenotype",),
        ids=(("Cell ID",),),
        images=("Sample Name",),
    ),
    TableSource(  # 10x Genomics: tissue_positions.csv of Space Ranger 2 or later
        name="Visium",
        coordinates=(Coordinates(("pxl_col_in_fullres",), ("pxl_row_in_fullres",)),),
        pixels=True,
        ids=(("barcode",),),
        kept=(("in_tissue", ("1",)),),
        note="a spot of Visium is 55 um wide and holds several cells",
    ),
)
"""Instruments and programs. The source of a table is the first whose columns it has, so the order matters: a
table of one may have the columns of another."""

PHYSICELL = TableSource(  # cells.csv, version 1 (four numbers a row) or 2 (a header that begins x,y,z,type)
    name="PhysiCell",
    coordinates=(Coordinates(("x",), ("y",), ("z",), unit="um"),),
    required_columns=("type",),
    types=("type",),
    y_points_down=False,
)
"""Recognized by the form of the file, not by its columns alone; see ``text_table``."""

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
"""Names of the column of types, normalized as in ``AXES``."""
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
    "_index",
    "",
    "__index_level_0__",
)
"""Names of the column that names a cell, normalized as in ``AXES``; "" is a column without a name."""
IMAGES = frozenset(
    {
        "image", "imageid", "image_id", "image_name", "imagenumber", "image_number", "filename", "file_name",
        "file", "sample", "sample_id", "sampleid", "sample_name", "slide", "slide_id", "slideid", "section",
        "section_id", "slice", "slice_id", "plane", "library_id", "roi", "roi_id", "fov", "field", "tile",
        "core", "core_id", "tma_core", "patient", "patient_id", "batch", "well", "acquisition_id",
    }
)  # fmt: skip
"""Names of columns of images in a table of any source, normalized as in ``AXES``."""
TIMES = frozenset({"time", "time_s", "time_h", "time_min", "timepoint", "time_point", "frame", "t"})
"""Names of a time, normalized as in ``AXES``."""
