"""NanoString CosMx: the metadata file of a flat-file export."""

from exoabm.readers.source import Place, Source

SOURCE = Source(
    name="CosMx",
    places=(
        Place(("CenterX_global_px",), ("CenterY_global_px",)),
        Place(("x_slide_mm",), ("y_slide_mm",)),
        Place(("CenterX_local_px",), ("CenterY_local_px",), within="fov"),
    ),
    unit="pixels, whose width is asked for; mm where the name says so",
    proposal="0.12028 um",
    ids=(("cell",), ("fov", "cell_ID")),
)
