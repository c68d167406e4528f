"""CellProfiler's *ExportToSpreadsheet*: one object, or several under two header lines."""

from exoabm.readers.source import Place, Source


def _place(feature: str) -> tuple[Place, Place]:
    x, y, z = ((f"{feature}_Center_{axis}",) for axis in "XYZ")
    return Place(x, y, z), Place(x, y)


SOURCE = Source(
    name="CellProfiler",
    places=(*_place("Location"), *_place("AreaShape")),
    unit="pixels, whose width is asked for",
    ids=(("ImageNumber", "ObjectNumber"), ("ObjectNumber",)),
    images=("ImageNumber",),
)
