"""Indica Labs HALO: object data."""

from exoabm.readers.source import Place, Source

SOURCE = Source(
    name="HALO",
    places=(Place(("XMin", "XMax"), ("YMin", "YMax")),),
    unit="pixels, whose width is asked for",
    ids=(("Object Id",),),
    images=("Image Location",),
    flags=True,
)
