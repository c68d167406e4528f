"""The catalog against its own claims and against the closed forms of its physics."""

from __future__ import annotations

import math
import runpy
from pathlib import Path

import pytest

from exoabm.parameters import (
    CATALOG,
    Quantity,
    QuantityError,
    factor,
    mean_diffusivity,
    references,
    stokes_einstein,
)
from exoabm.parameters.catalog import THEMES, collect, parse_theme
from exoabm.scenario.schema import Transport
from exoabm.scenario.schema_base import quantity_field

ROOT = Path(__file__).resolve().parents[2]
DOCS = runpy.run_path(str(ROOT / "docs/generate.py"))
PARAMETERS = pytest.mark.parametrize("parameter", CATALOG.values(), ids=CATALOG)

DEFAULTS = {
    "voxel": 10.0,
    "thickness": 10.0,
    "step": 60.0,
    "duration": 86400.0,
    "courant": 0.2,
    "hindrance": 1.0,
    "viscosity": 0.6913,
    "temperature": 310.15,
    "diameter": 0.08,
    "diameter_gsd": 1.35,
    "half_life": 21600.0,
    "uptake_rate": 14.0,
    "saturation": 6.02214076e-3,
    "unbinding_rate": 1 / 3600,
    "internalization_rate": 6 / 3600,
    "processing_rate": 1 / 3600,
    "delivery_probability": 0.01,
    "threshold": 1e-6,
    "cell_diameter": 15.0,
    "release_rate": 60 / 3600,
    "ilvs_per_mvb": 15.0,
    "waste_production": 100 / 3600,
    "waste_lysosomal_rate": 0.5 / 3600,
    "waste_export_rate": 0.1 / 3600,
    "copies": 0.00825,
}


@PARAMETERS
def test_every_unit_is_known(parameter):
    assert factor(parameter.unit) > 0


@PARAMETERS
def test_every_source_is_in_the_references(parameter):
    keys = set(parameter.source) - {"assumed"}
    assert keys <= references().keys()
    assert all(references()[key]["keywords"] == "parameter" for key in keys)


@PARAMETERS
def test_every_default_lies_in_its_published_range(parameter):
    if parameter.default is not None:
        assert Quantity.default(parameter).caution == ""


@PARAMETERS
def test_where_infinity_is_allowed_it_is_explained(parameter):
    assert math.isinf(parameter.allowed[1]) == ("infinity" in parameter.meaning)


def test_every_theme_of_the_folder_is_read():
    files = (ROOT / "exoabm" / "parameters").glob("*.toml")
    assert {path.stem for path in files} == THEMES.keys()
    assert sum(len(theme.parameters) for theme in THEMES.values()) == len(CATALOG)
    assert all(name == parameter.name for name, parameter in CATALOG.items())


ROW = """title = "Medium"

[debye_length]
symbol = "λ_D"
meaning = "Length over which charges are screened."
unit = "nm"
default = 0.8
allowed = [0.1, 1000]
published = [0.7, 1]
source = ["chiu2016"]
how = "recalled"
note = "In saline."
"""


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("[debye_length]", "[debye_length", "Expected ']'"),
        ('title = "Medium"', "", "title and about must be texts"),
        ("[debye_length]", "debye_length = 1\n[other]", "debye_length must be a table"),
        ("how =", "hwo =", "parameter debye_length: unknown hwo"),
        ('unit = "nm"', "", "parameter debye_length: missing unit"),
        ('unit = "nm"', "unit = 1", "parameter debye_length: unit must be a text, not 1"),
        ("0.8", "true", "parameter debye_length: default must be a number, not True"),
        ("[0.1, 1000]", "[0.1]", r"parameter debye_length: allowed must be two numbers, not \[0.1\]"),
        ("[0.7, 1]", '["0.7", 1]', "parameter debye_length: published must be two numbers"),
        ('["chiu2016"]', '"chiu2016"', "parameter debye_length: source must be a list of texts"),
        ('how = "recalled"', "", "parameter debye_length: how is assumed exactly where"),
        ("0.8", "2000", "parameter debye_length: the default must lie in the allowed range"),
    ],
)
def test_a_faulty_theme_is_refused(old, new, problem):
    assert old in ROW
    with pytest.raises(ValueError, match=f"^medium.toml: {problem}"):
        parse_theme(ROW.replace(old, new, 1), "medium.toml")


def test_names_and_symbols_are_unique():
    theme = parse_theme(ROW, "medium.toml")
    other = parse_theme(ROW.replace("debye_length", "screening_length"), "medium.toml")
    with pytest.raises(ValueError, match="debye_length is declared twice"):
        collect({"one": theme, "two": theme})
    with pytest.raises(ValueError, match="debye_length and screening_length have the same symbol λ_D"):
        collect({"one": theme, "two": other})


def test_a_parameter_takes_a_row_and_a_field(monkeypatch):
    theme = parse_theme(ROW, "medium.toml")
    for name, parameter in collect({"medium": theme}).items():
        monkeypatch.setitem(CATALOG, name, parameter)

    class Medium(Transport):
        screening: Quantity = quantity_field("debye_length")

    assert Medium().screening == 0.8e-3
    assert Medium().screening.source == "chiu2016"
    assert Medium.model_validate({"screening": "1 um"}).screening.caution
    with pytest.raises(ValueError, match=r"5e-09 nm is outside the allowed 0\.1 to 1000 nm") as caught:
        Medium.model_validate({"screening": "5e-18 m"})
    assert isinstance(caught.value.errors()[0]["ctx"]["error"], QuantityError)
    assert DOCS["parameter_table"](theme.parameters).splitlines()[2] == (
        "| `debye_length` | λ_D | 0.8 | nm | 0.7 to 1 | `chiu2016` (recalled) | 0.1 to 1000 "
        "| Length over which charges are screened. In saline. |"
    )


def test_generated_pages_are_up_to_date():
    for path, text in DOCS["generated_pages"](ROOT).items():
        assert path.read_text(encoding="utf-8") == text, "run python docs/generate.py"


def test_a_stale_page_is_renewed():
    page = "Of 3 default values 2 are assumed.\n<!-- parameters: voxel, step -->\nold\n<!-- end -->\nlast\n"
    renewed = DOCS["renewed"]
    new = renewed(page)
    known = [parameter for parameter in CATALOG.values() if parameter.default is not None]
    assert new.startswith(f"Of {len(known)} default values ")
    assert [line.split()[1] for line in new.splitlines() if line.startswith("| `")] == ["`voxel`", "`step`"]
    assert new.endswith("<!-- end -->\nlast\n")
    assert renewed(new) == new
    with pytest.raises(KeyError, match="vxel"):
        renewed(page.replace("voxel", "vxel"))


@pytest.mark.parametrize(("name", "internal"), DEFAULTS.items())
def test_defaults_in_internal_units(name, internal):
    assert Quantity.default(CATALOG[name]) == pytest.approx(internal, rel=1e-15)


@pytest.mark.parametrize(("nanometers", "expected"), [(30, 21.91), (100, 6.572), (150, 4.382)])
def test_stokes_einstein(nanometers, expected):
    value = stokes_einstein(nanometers / 1000)
    assert value == pytest.approx(expected, rel=1e-3)
    assert 1.05 * value != pytest.approx(expected, rel=1e-3)
    assert stokes_einstein(nanometers / 1000, 2 * 0.6913, 2 * 310.15) == pytest.approx(value)


def test_mean_diffusivity():
    value = mean_diffusivity(0.080, 1.35)
    assert value == pytest.approx(8.594, rel=1e-3)
    assert 1.05 * value != pytest.approx(8.594, rel=1e-3)
    assert mean_diffusivity(0.080, 1.0) == stokes_einstein(0.080)


def test_the_range_of_diffusivities_is_that_of_the_diameters():
    low, high = CATALOG["diffusivity"].published
    small, large = CATALOG["diameter"].published
    assert stokes_einstein(large / 1000) == pytest.approx(low, rel=1e-3)
    assert stokes_einstein(small / 1000) == pytest.approx(high, rel=1e-3)


@pytest.mark.parametrize("molecule", ["free_drug", "soluble_factor"])
def test_molecules_are_as_large_as_they_diffuse(molecule):
    small, diffusivity = (CATALOG[f"{molecule}_{key}"].default for key in ("diameter", "diffusivity"))
    assert stokes_einstein(small / 1000) == pytest.approx(diffusivity, rel=0.01)


def test_the_viscosity_of_water_at_body_temperature():
    # patek2009, equation 2.3: eta = sum a_i (T / 300 K)^b_i in µPa s.
    a, b = (280.68, 511.45, 61.131, 0.45903), (-1.9, -7.7, -19.6, -40.0)
    ratio = CATALOG["temperature"].default / 300
    viscosity = 1e-3 * sum(x * ratio**y for x, y in zip(a, b, strict=True))
    assert CATALOG["viscosity"].default == pytest.approx(viscosity, rel=1e-4)


def test_the_uptake_rate_is_one_percent_an_hour_at_the_assumed_density():
    loss, density = 0.01 / 3600, 2e5 * factor("1/mL")
    assert CATALOG["uptake_rate"].default == pytest.approx(loss / density, rel=0.01)


@pytest.mark.parametrize("page", ["README.md", "ODD.md", "docs/parameters.md"])
def test_the_pages_say_how_many_defaults_are_assumed(page):
    known = [parameter for parameter in CATALOG.values() if parameter.default is not None]
    assumed = sum("assumed" in parameter.source for parameter in known)
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    assert f"Of {len(known)} default values {assumed} are assumed" in text
