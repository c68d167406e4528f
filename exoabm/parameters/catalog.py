"""Every parameter of a vesicle scenario, each declared once, and the physics that ties them."""

from __future__ import annotations

import math
from typing import Final

from exoabm.parameters import living
from exoabm.parameters.parameter import Parameter
from exoabm.parameters.therapy import THERAPY

BOLTZMANN: Final = 0.01380649
"""The Boltzmann constant in µg µm² s⁻² K⁻¹ (exact in the SI)."""

_WATER_VISCOSITY: Final = 0.6913
_BODY_TEMPERATURE: Final = 310.15

_DOMAIN = (
    Parameter(
        name="domain_size",
        symbol="L",
        meaning="Edge length of the simulated region along one axis.",
        unit="um",
        default=500.0,
        allowed=(1.0, 1e7),
        published=None,
        source=("assumed",),
        how="assumed",
    ),
    Parameter(
        name="position",
        symbol="x",
        meaning="Coordinate of a point along one axis.",
        unit="um",
        default=None,
        allowed=(-1e7, 1e7),
        published=None,
        source=("assumed",),
        how="assumed",
    ),
    Parameter(
        name="length",
        symbol="l",
        meaning="Distance, such as a radius or a margin.",
        unit="um",
        default=None,
        allowed=(0.0, 1e7),
        published=None,
        source=("assumed",),
        how="assumed",
    ),
    Parameter(
        name="voxel",
        symbol="dx",
        meaning="Edge length of a cubic voxel of the grid.",
        unit="um",
        default=10.0,
        allowed=(0.5, 200.0),
        published=None,
        source=("assumed",),
        how="assumed",
        note="The rate onto a cell is corrected so that it does not depend on this.",
    ),
    Parameter(
        name="thickness",
        symbol="h",
        meaning="Thickness of the slab that a two-dimensional grid stands for.",
        unit="um",
        default=10.0,
        allowed=(0.5, 1e4),
        published=None,
        source=("assumed",),
        how="assumed",
        note="Concentrations in two dimensions are inversely proportional to it.",
    ),
    Parameter(
        name="max_cells",
        symbol="n_max",
        meaning="Most cells alive at a time that divisions may lead to; a run that would pass it halts.",
        unit="1",
        default=100_000.0,
        allowed=(1.0, 1e7),
        published=None,
        source=("assumed",),
        how="assumed",
        note="A guard against growth that was not meant; a layout may place more where none divides.",
    ),
    Parameter(
        name="spacing",
        symbol="s",
        meaning="Least distance between the centers of cells in a generated layout.",
        unit="um",
        default=40.0,
        allowed=(0.0, 1e5),
        published=None,
        source=("assumed",),
        how="assumed",
        note="1e8 cells/mL, as in tissue, corresponds to 21.5 um.",
    ),
    Parameter(
        name="face_concentration",
        symbol="c_f",
        meaning="Vesicle concentration held at a face of the domain.",
        unit="1/mL",
        default=None,
        allowed=(0.0, 1e15),
        published=None,
        source=("assumed",),
        how="assumed",
    ),
)

_CLOCK = (
    Parameter(
        name="step",
        symbol="Δt",
        meaning="Time step of the model, after which cells act.",
        unit="s",
        default=60.0,
        allowed=(1e-3, 86400.0),
        published=None,
        source=("assumed",),
        how="assumed",
        note="Transport divides it further as stability and accuracy ask.",
    ),
    Parameter(
        name="duration",
        symbol="t_end",
        meaning="Simulated time.",
        unit="h",
        default=24.0,
        allowed=(1e-3, 1e5),
        published=None,
        source=("assumed",),
        how="assumed",
    ),
    Parameter(
        name="interval",
        symbol="Dt",
        meaning="Model time between two records of an observer.",
        unit="h",
        default=1.0,
        allowed=(1e-6, 1e5),
        published=None,
        source=("assumed",),
        how="assumed",
        note="Observers have their own clock; the solver does not step by it.",
    ),
    Parameter(
        name="courant",
        symbol="r",
        meaning="Largest diffusion number D dt / dx^2 of an explicit sub-step.",
        unit="1",
        default=0.2,
        allowed=(1e-3, 0.25),
        published=None,
        source=("assumed",),
        how="assumed",
        note="Stability ends at 1/4 in two dimensions and at 1/6 in three.",
    ),
)

_MEDIUM = (
    Parameter(
        name="hindrance",
        symbol="θ",
        meaning="Diffusivity in the medium relative to free diffusivity, D*/D.",
        unit="1",
        default=1.0,
        allowed=(1e-6, 1.0),
        published=(0.005, 1.0),
        source=("assumed", "thorne2006", "lenzini2020"),
        how="assumed",
        note=(
            "1 is free medium. 0.05 is assumed for tissue, plausible from 0.005 to 0.4: about 0.01 "
            "for 35 nm quantum dots in brain, but vesicles deform and pass small pores anomalously."
        ),
    ),
    Parameter(
        name="viscosity",
        symbol="η",
        meaning="Dynamic viscosity of the medium.",
        unit="mPa*s",
        default=_WATER_VISCOSITY,
        allowed=(0.1, 1e4),
        published=None,
        source=("patek2009",),
        how="computed",
        note="Water at 37 °C; protein in the medium raises it.",
    ),
    Parameter(
        name="temperature",
        symbol="T",
        meaning="Absolute temperature of the medium.",
        unit="K",
        default=_BODY_TEMPERATURE,
        allowed=(273.15, 373.15),
        published=None,
        source=("assumed",),
        how="assumed",
        note="37 °C. The viscosity does not follow by itself.",
    ),
)

_VESICLE = (
    Parameter(
        name="diameter",
        symbol="d",
        meaning="Median diameter of the log-normally distributed vesicles.",
        unit="nm",
        default=80.0,
        allowed=(10.0, 5000.0),
        published=(30.0, 150.0),
        source=("assumed", "verweij2019"),
        how="assumed",
        note="40 to 150 nm is read; the median and the shape are assumed.",
    ),
    Parameter(
        name="diameter_gsd",
        symbol="GSD",
        meaning="Geometric standard deviation of the diameter.",
        unit="1",
        default=1.35,
        allowed=(1.0, 3.0),
        published=None,
        source=("assumed",),
        how="assumed",
        note="With a median of 80 nm, 98 % of vesicles measure 30 to 150 nm. 1 is a single size.",
    ),
    Parameter(
        name="size_classes",
        symbol="S",
        meaning="Classes of size that fields and footprints tell apart; without a value, as many as the "
        "spread needs.",
        unit="1",
        default=None,
        allowed=(1, 8),
        published=None,
        source=("assumed",),
        how="assumed",
        note="As many as have the means of D and 1/D to 0.5 %: 2 at a GSD of 1.35, 3 at 2. With 1, all have "
        "the mean D.",
    ),
    Parameter(
        name="diffusivity",
        symbol="D",
        meaning="Free diffusivity; without a value, the mean over diameters by Stokes-Einstein.",
        unit="um^2/s",
        default=None,
        allowed=(1e-6, 1e4),
        published=(4.38, 21.92),
        source=("einstein1905", "patek2009"),
        how="computed",
        note="The range is that of 150 to 30 nm in water at 37 °C.",
    ),
    Parameter(
        name="half_life",
        symbol="t_half",
        meaning="Half-life of a free vesicle outside cells; infinity means never cleared.",
        unit="h",
        default=6.0,
        allowed=(1e-3, math.inf),
        published=(2.0, 48.0),
        source=("assumed",),
        how="assumed",
        note="No measurement in interstitial fluid was found; in plasma it is minutes.",
    ),
    Parameter(
        name="uptake_rate",
        symbol="k_a",
        meaning="Rate constant of binding at a recipient's membrane, per concentration there.",
        unit="um^3/s",
        default=14.0,
        allowed=(0.0, 1e6),
        published=(1.0, 600.0),
        source=("assumed", "bonsergent2021"),
        how="assumed",
        note=(
            "About 1 %/h of the input at 2e5 cells/mL. The first is recalled of the source, in whose public "
            "text it was looked for and not seen; the second is assumed."
        ),
    ),
    Parameter(
        name="saturation",
        symbol="Km",
        meaning="Concentration at which uptake is half its maximum; infinity means linear uptake.",
        unit="pM",
        default=10.0,
        allowed=(1e-6, math.inf),
        published=(1.0, 100.0),
        source=("assumed", "heusermann2016"),
        how="assumed",
        note="Uptake saturates at picomolar concentrations; the value is assumed.",
    ),
    Parameter(
        name="unbinding_rate",
        symbol="k_off",
        meaning="Rate at which a bound vesicle leaves the membrane again.",
        unit="1/h",
        default=1.0,
        allowed=(0.0, 1e6),
        published=(0.1, 10.0),
        source=("assumed",),
        how="assumed",
    ),
    Parameter(
        name="internalization_rate",
        symbol="k_int",
        meaning="Rate at which a bound vesicle is internalized.",
        unit="1/h",
        default=6.0,
        allowed=(0.0, 1e6),
        published=None,
        source=("assumed",),
        how="assumed",
    ),
    Parameter(
        name="processing_rate",
        symbol="k_end",
        meaning="Rate at which vesicles leave the endosome, for the lysosome or the cytosol.",
        unit="1/h",
        default=1.0,
        allowed=(0.0, 1e6),
        published=None,
        source=("assumed",),
        how="assumed",
    ),
    Parameter(
        name="recycling_probability",
        symbol="rho_rec",
        meaning="Share of the endosomal vesicles that a cell releases again as they are.",
        unit="1",
        default=0.0,
        allowed=(0.0, 1.0),
        published=(0.0, 0.5),
        source=("assumed",),
        how="assumed",
        note="Off by default; relays from cell to cell need it.",
    ),
    Parameter(
        name="delivery_probability",
        symbol="φ",
        meaning="Probability that an internalized vesicle delivers its cargo to the cytosol.",
        unit="1",
        default=0.01,
        allowed=(0.0, 1.0),
        published=(0.001, 0.3),
        source=("assumed", "heusermann2016", "bonsergent2021", "murphy2021", "pmid36194183"),
        how="assumed",
        note=(
            "The weakest number here: the lysosome is the usual end and fusion is rare, against "
            "about 30 % content release (recalled) and efficient RNA delivery in other hands."
        ),
    ),
    Parameter(
        name="threshold",
        symbol="c*",
        meaning="Concentration that ends the communication distance of a donor.",
        unit="1/mL",
        default=1e6,
        allowed=(1.0, 1e15),
        published=None,
        source=("assumed",),
        how="assumed",
        note="A convention for comparing distances, not a measured threshold of response.",
    ),
)

_CELL = (
    Parameter(
        name="cell_diameter",
        symbol="2a",
        meaning="Diameter of a cell.",
        unit="um",
        default=15.0,
        allowed=(1.0, 500.0),
        published=(8.0, 25.0),
        source=("assumed",),
        how="assumed",
        note="A common size of cultured mammalian cells.",
    ),
    Parameter(
        name="release_rate",
        symbol="q",
        meaning="Mean rate at which a donor cell releases vesicles.",
        unit="1/h",
        default=60.0,
        allowed=(0.0, 1e6),
        published=(0.2, 2700.0),
        source=("chiu2016", "wang2017", "auber2022"),
        how="secondary",
        note=(
            "From 0.2 (erythrocyte) over 5 to 9 and 60 to 65 (cell lines; the latter read in a public "
            "summary of the source) to 2700 (monocyte)."
        ),
    ),
    Parameter(
        name="ilvs_per_mvb",
        symbol="b",
        meaning="Mean number of vesicles that one multivesicular body releases when it fuses.",
        unit="EV",
        default=15.0,
        allowed=(1.0, 1000.0),
        published=(5.0, 50.0),
        source=("assumed", "verweij2018", "hessvik2016"),
        how="assumed",
        note=(
            "With the release rate it sets the rate of fusions, 4/h at the defaults. Fusions are "
            "seen as single events, and the number of vesicles in a body responds to drugs."
        ),
    ),
    Parameter(
        name="waste_production",
        symbol="p",
        meaning="Rate at which a stressed cell makes waste, in arbitrary units.",
        unit="1/h",
        default=100.0,
        allowed=(0.0, 1e9),
        published=None,
        source=("assumed",),
        how="assumed",
        note="For stressed cells; a cell type that does not name it makes none.",
    ),
    Parameter(
        name="waste_lysosomal_rate",
        symbol="k_lys",
        meaning="Rate at which lysosomes degrade waste.",
        unit="1/h",
        default=0.5,
        allowed=(0.0, 1e6),
        published=None,
        source=("assumed",),
        how="assumed",
    ),
    Parameter(
        name="waste_export_rate",
        symbol="k_exo",
        meaning="Rate at which waste leaves the cell in vesicles.",
        unit="1/h",
        default=0.1,
        allowed=(0.0, 1e6),
        published=None,
        source=("assumed", "takahashi2017"),
        how="assumed",
        note="Blocked secretion leaves cytosolic DNA and senescence; the rate is assumed.",
    ),
)

_CARGO = (
    Parameter(
        name="copies",
        symbol="n_c",
        meaning="Mean number of copies of a cargo in one vesicle.",
        unit="copies/EV",
        default=0.00825,
        allowed=(0.0, 1e6),
        published=(1e-5, 2e4),
        source=("chevillet2014",),
        how="read",
        note=(
            "An abundant native miRNA: one copy in 121 vesicles, from 1e-5 to 0.1. Engineered drug "
            "loads of about 1e3 are assumed, and 2e4 is an upper bound."
        ),
    ),
)

CATALOG: Final[dict[str, Parameter]] = {
    parameter.name: parameter
    for theme in (
        *(_DOMAIN, _CLOCK, _MEDIUM, _VESICLE, _CELL, _CARGO),
        *(living.PATHWAY, living.CARGO, living.FATE, living.RESPONSE, THERAPY),
    )
    for parameter in theme
}
"""Every parameter by name, in order of theme."""


def stokes_einstein(
    diameter: float,
    viscosity: float = _WATER_VISCOSITY,
    temperature: float = _BODY_TEMPERATURE,
) -> float:
    """Return the free diffusivity ``D = k_B T / (3 pi eta d)`` of a sphere, in µm²/s.

    Parameters
    ----------
    diameter
        d, in µm; positive.
    viscosity
        eta, in mPa s (µg µm⁻¹ s⁻¹); positive. The default is water at 37 °C.
    temperature
        T, in K.

    Notes
    -----
    Source: einstein1905. It holds for hard spheres far from walls.
    """
    return BOLTZMANN * temperature / (3.0 * math.pi * viscosity * diameter)


def mean_diffusivity(
    diameter: float,
    gsd: float,
    viscosity: float = _WATER_VISCOSITY,
    temperature: float = _BODY_TEMPERATURE,
) -> float:
    """Return the mean diffusivity ``D(d) exp(sigma^2 / 2)`` of log-normal diameters, in µm²/s.

    Parameters
    ----------
    diameter
        Median diameter d, in µm; positive.
    gsd
        Geometric standard deviation; ``sigma = ln gsd``. At least 1.
    viscosity, temperature
        As in `stokes_einstein`.

    Notes
    -----
    D goes as 1/d, which is log-normal with the same sigma.
    """
    sigma = math.log(gsd)
    return stokes_einstein(diameter, viscosity, temperature) * math.exp(0.5 * sigma**2)
