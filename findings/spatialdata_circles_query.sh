#!/usr/bin/env bash
# spatialdata 0.7.3: a box finds circles by their centers, the same box as a polygon by their discs.
#
# Guess: cells kept as circles (center and radius, as in Visium, or where outlines are missing) are found by a box that
#   they reach into, as the same cells kept as polygons are; the box is the same region for either query.
# Seen: bounding_box_query keeps the circles whose center is in the box, although get_extent counts the radius. It finds
#   one of three cells, of which the same cells as polygons, and polygon_query of circles with this box, give three.
# Consequence here: none; shapes of SpatialData are not read, positions are those of obsm["spatial"].
. "$(dirname "$0")/lib.sh"
packages spatialdata==0.7.3 zarr==3.1.6 dask==2026.1.1 geopandas==1.2.0 shapely==2.2.0 numpy==2.4.6

cat >circles.py <<'PYTHON'
import numpy as np
from shapely import box
from spatialdata import bounding_box_query, get_extent, polygon_query, to_polygons
from spatialdata.models import ShapesModel

circles = ShapesModel.parse(np.array([[10.0, 10.0], [20.0, 5.0], [30.0, 10.0]]), geometry=0, radius=5.0)
polygons = to_polygons(circles)
low, high = [12.0, 0.0], [27.0, 40.0]  # all three reach into it


def by_box(cells):
    found = bounding_box_query(
        cells, axes=("x", "y"), min_coordinate=low, max_coordinate=high, target_coordinate_system="global"
    )
    return found.index.tolist()


def by_polygon(cells):
    return polygon_query(cells, box(*low, *high), target_coordinate_system="global").index.tolist()


print(f"FINDING bounding_box_query: of circles {by_box(circles)}, of the same as polygons {by_box(polygons)}")
print(f"FINDING polygon_query with this box: {by_polygon(circles)} and {by_polygon(polygons)}; guess: all alike")
assert get_extent(circles)["x"] == (5, 35)
assert by_box(circles) == [1]
assert by_box(polygons) == by_polygon(circles) == by_polygon(polygons) == [0, 1, 2]
PYTHON
"$python" -W ignore circles.py 2>&1 | grep -E '^FINDING|Error'
