"""scikit-image's ``regionprops_table``, as steinbock and others write it: axis 0 is y, or z in a volume."""

from exoabm.readers.source import Place, Source

SOURCE = Source(
    name="steinbock or scikit-image",
    places=(
        Place(("centroid-2",), ("centroid-1",), ("centroid-0",)),
        Place(("centroid-1",), ("centroid-0",)),
    ),
    unit="pixels, whose width is asked for",
    proposal="1 um",
    ids=(("Object",), ("label",)),
    images=("image", "Image"),
)
