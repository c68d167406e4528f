#!/usr/bin/env bash
# Spatial Model Editor 1.12.0 (sme): the Pixel simulator gives a round cell the membrane of its bounding box.
#
# A membrane reaction is an amount per area and time (its documentation), and cells are drawn as an image.
# Guess: uptake through the membrane of a round cell is that of its circumference, more exactly the finer the image,
#   and a turned cell takes up as much as one that is not; both simulators of the program, Pixel and DUNE, agree.
# Seen: Pixel adds the flux of every edge between pixels of the two compartments: a circle has 4/pi = 1.27 times its
#   circumference in every resolution, a square turned by 45 degrees 1.4 times its own (the limit is the root of 2). The
#   upright square is exact, and DUNE, on a mesh, is within 3 % for all three. There is no message.
# Consequence here: none; the rate of capture by a cell in exoabm does not depend on the voxels (ODD.md, 7.4).
. "$(dirname "$0")/lib.sh"
packages sme==1.12.0 numpy==2.4.6 pillow==13.0.0

cat >membrane.py <<'PYTHON'
import numpy as np
import sme
from PIL import Image

RATE, LITERS = 0.1, 1000  # of the example's uptake at a fixed concentration of 1 outside; volume of a pixel


def of(name, of_model):
    return next(each for each in of_model if each.name == name)


def color(name):
    example = sme.open_example_model()
    return example.compartment_image[0][np.array(of(name, example.compartments).geometry_mask)[0]][0]


colors = {name: color(name) for name in ("Outside", "Cell", "Nucleus")}


def length_ratio(shape, pixels, simulator):
    """Amount taken up in a unit of time, as length of membrane relative to that of the shape drawn."""
    y, x = np.mgrid[:pixels, :pixels] - (pixels - 1) / 2
    radius = 0.3 * pixels
    inside, length = {
        "square": (np.maximum(abs(x), abs(y)) < radius, 8 * radius),
        "turned square": (abs(x) + abs(y) < radius * 2**0.5, 8 * radius),
        "circle": (x**2 + y**2 < radius**2, 2 * np.pi * radius),
    }[shape]
    image = np.empty((pixels, pixels, 3), np.uint8)
    image[:], image[inside] = colors["Outside"], colors["Cell"]
    image[np.maximum(abs(x), abs(y)) < radius / 5] = colors["Nucleus"]
    Image.fromarray(image).save("cell.png")
    model = sme.open_example_model()
    model.import_geometry_from_image("cell.png")
    for compartment in model.compartments:
        for species in compartment.species:
            species.diffusion_constant = 1000.0  # even in a cell, so that pixels sample the mesh exactly
    last = model.simulate(1.0, 1.0, simulator_type=simulator, n_threads=1)[-1].species_concentration
    return (last["A_cell"].sum() + last["A_nucl"].sum()) * LITERS / RATE / length


PIXEL, DUNE = sme.SimulatorType.Pixel, sme.SimulatorType.DUNE
for shape, expected in (("square", 1.0), ("circle", 4 / np.pi), ("turned square", 1.4)):
    coarse, fine = (length_ratio(shape, pixels, PIXEL) for pixels in (50, 100))
    mesh = length_ratio(shape, 100, DUNE)
    print(
        f"FINDING uptake of a {shape} relative to its circumference: "
        f"Pixel {coarse:.3f} at 50 pixels, {fine:.3f} at 100; DUNE {mesh:.3f}"
    )
    assert abs(fine - expected) < 0.01 and abs(coarse - expected) < 0.07
    assert abs(mesh - 1) < 0.03
PYTHON
"$python" membrane.py 2>&1 | grep -E '^FINDING|Error'
