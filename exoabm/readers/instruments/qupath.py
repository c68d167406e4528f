"""QuPath: *Measure > Export measurements* of cells or detections."""

from exoabm.readers.source import Place, Source

SOURCE = Source(
    name="QuPath",
    places=(
        Place(("Centroid X µm",), ("Centroid Y µm",)),
        Place(("Centroid X px",), ("Centroid Y px",)),
    ),
    unit="in the column's name; pixels are asked for",
    types=("Classification", "Class"),
    ids=(("Object ID",),),
    images=("Image",),
    kept=(("Object type", ("Cell", "Detection")),),
    dropped=(("Name", ("PathAnnotationObject", "PathRootObject", "PathTileObject", "TMACoreObject")),),
    derived=True,
)
