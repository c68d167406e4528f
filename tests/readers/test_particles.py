"""Sizes of vesicles as instruments write them: the known answers, and what is left out, asked or refused."""

from pathlib import Path

import numpy as np
import pytest
from scipy.special import ndtr

from exoabm.batch.calibration.measurements import check_allowed, fit_diameters, spread
from exoabm.errors import InputError
from exoabm.readers.particle_sizes import read_sizes

CASES = Path(__file__).parent / "cases"
NTA = "mixed/11-nta-instrument-file/"
KNOWN = [  # file, medians in nm, GSD, tolerance of the median
    ("sizes/zetaview_real_structure.txt", [97.2], 1.437, 0.05),
    ("sizes/zetaview_number.csv", [97.2], 1.437, 0.05),
    ("sizes/logbins_counts.csv", [99.1], 1.450, 0.05),
    ("sizes/nanosight_ExperimentSummary.csv", [104, 107, 110], 1.380, 0.05),
    ("sizes/nanosight_captures.csv", [104, 107, 110], 1.380, 0.05),
    ("mixed/10-nta-units/header_units.csv", [90], 1.40, 0.05),
    (NTA + "summary.csv", [90, 90], 1.40, 0.05),
    (NTA + "zeta.txt", [90], 1.40, 0.05),
    (NTA + "nta_semicolon.csv", [90], 1.40, 0.05),
    (NTA + "nta_sentinel.csv", [90], 1.40, 0.05),
    (NTA + "nta_particles.csv", [90], 1.40, 1.5),  # 3,000 drawn: a standard error of 0.55
]


def fitted(table):
    assert table is not None
    return fit_diameters(table.edges, table.samples)


@pytest.mark.parametrize(("name", "medians", "gsd", "near"), KNOWN, ids=[row[0] for row in KNOWN])
def test_known_answers(name, medians, gsd, near):
    found = fitted(read_sizes(CASES / name))
    assert [each.median_nm for each in found] == pytest.approx(medians, abs=near)
    assert [each.gsd for each in found] == pytest.approx([gsd] * len(medians), abs=0.003)


def test_what_is_left_out_is_said():
    said = "; ".join(read_sizes(CASES / "sizes/zetaview_real_structure.txt").findings)
    for words in (
        "samples: 'Number'",
        "weighted by size: 'Volume / nm^3', 'Area / nm^2'",
        "a multiple of Number",
    ):
        assert words in said
    assert "not corrected for the dilution" in said
    table = read_sizes(CASES / "sizes/nanosight_ExperimentSummary.csv")
    assert list(table.samples) == ["s_00", "s_01", "s_02"]
    assert "left out, an error: 'Standard Error'; left out, an average: 'Average'" in "; ".join(
        table.findings
    )


@pytest.mark.parametrize(
    ("header", "samples"),
    [
        ("Count,%", ["Count"]),
        ("a (%),b (%)", ["a (%)", "b (%)"]),
        ("Average,Number (Percent)", ["Average"]),
        ("Count,Normalized", ["Count"]),
        ("Count,Number %", ["Count"]),
        ("Control,10% FBS", ["Control", "10% FBS"]),
        ("Input,Fraction 7", ["Input", "Fraction 7"]),
        ("Healthy,Relative of patient", ["Healthy", "Relative of patient"]),
        ("Count,Zeta (mV)", ["Count"]),
        ("sEV,MV", ["sEV", "MV"]),
    ],
)
def test_shares_and_potentials_are_no_second_sample_beside_numbers(tmp_path, header, samples):
    """Words such as fraction or relative are also in names of samples."""
    other = {"Count,Zeta (mV)": -20}.get(header, 0)
    rows = "".join(f"{d},{d},{d**1.5 / 70 + other:.1f}\n" for d in range(50, 130, 10))
    (tmp_path / "a.csv").write_text(f"Size (nm),{header}\n{rows}")
    assert list(read_sizes(tmp_path / "a.csv").samples) == samples


def test_a_number_of_particles_below_0_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text(
        "Size (nm),Count\n" + "".join(f"{d},{95 - d}\n" for d in range(50, 130, 10))
    )
    with pytest.raises(InputError, match=r"line 7, column 'Count' is -5; .*--column"):
        read_sizes(tmp_path / "a.csv")


def test_a_blank_bin_is_refused_and_another_column_can_be_chosen():
    with pytest.raises(InputError, match="line 2, column 'b' is blank"):
        read_sizes(CASES / NTA / "nta_blank.csv")
    assert fitted(read_sizes(CASES / NTA / "nta_blank.csv", ["a"]))[0].median_nm == pytest.approx(
        90, abs=0.05
    )


def test_sizes_in_um_are_seen():
    (wrong,) = fitted(read_sizes(CASES / "mixed/10-nta-units/in_um.csv"))
    with pytest.raises(InputError, match=r"0\.09 nm lies outside the allowed 1 to 5000 nm"):
        check_allowed(wrong)


# Other structures: a log-normal of 95 nm and 1.4, written in the ways that there are.

EVEN = np.arange(0.0, 601, 5)
LOGARITHMIC = np.geomspace(20, 800, 81)


def shares(edges):
    with np.errstate(divide="ignore"):
        return np.diff(ndtr(np.log(edges / 95) / np.log(1.4)))


def written(
    path, edges, height, heading="Diameter (nm)", of="Count", factor=1.0, mark=",", above="", below=""
):
    center = (edges[1:] + edges[:-1]) / 2 * factor
    rows = [f"{c:.9g}{mark}{h:.9g}" for c, h in zip(center, height, strict=True)]
    path.write_text(f"{above}{heading}{mark}{of}\n" + "\n".join(rows) + "\n" + below, encoding="utf-8")
    return path


WAYS = [
    (LOGARITHMIC, "dN/dD", lambda e: shares(e) / np.diff(e)),
    (LOGARITHMIC, "Concentration (particles/mL/nm)", lambda e: shares(e) / np.diff(e)),
    (LOGARITHMIC, "CSD", lambda e: shares(e) / np.diff(e)),
    (LOGARITHMIC, "PDF (nm⁻¹)", lambda e: shares(e) / np.diff(e)),
    (LOGARITHMIC, "dN/dlogD", lambda e: shares(e) / np.diff(np.log10(e))),
    (LOGARITHMIC, "Number", shares),
    (EVEN, "anything", shares),
    (EVEN, "Concentration / cm-3", shares),
]


@pytest.mark.parametrize(("edges", "of", "height"), WAYS, ids=[f"{of}-{len(e)}" for e, of, _ in WAYS])
@pytest.mark.parametrize(("heading", "factor"), [("Size (nm)", 1.0), ("Diameter / µm", 1e-3)])
def test_densities_and_counts(tmp_path, edges, of, height, heading, factor):
    file = written(tmp_path / "a.csv", edges, height(edges), heading, of, factor)
    (found,) = fitted(read_sizes(file))
    assert found.median_nm == pytest.approx(95, rel=2e-3)
    assert found.gsd == pytest.approx(1.4, rel=2e-3)


def test_unequal_bins_of_an_unknown_height_are_asked_for(tmp_path):
    file = written(tmp_path / "a.csv", LOGARITHMIC, shares(LOGARITHMIC), of="Signal")
    with pytest.raises(InputError, match="give --heights count, density"):
        read_sizes(file)
    assert fitted(read_sizes(file, heights="count"))[0].median_nm == pytest.approx(95, rel=2e-3)
    assert fitted(read_sizes(file, heights="density"))[0].median_nm > 105


@pytest.mark.parametrize("heading", ["Bin centre (nm)", "Bin Centre (nm)", "bin centre(nm)", "SIZE/nm"])
def test_a_table_of_percentiles_below_is_not_read(tmp_path, heading):
    above = "Filename,mine\nGraph Data,\n"
    below = "".join(f"{p},{p * 3}\n" for p in range(1, 101))
    file = written(tmp_path / "a.csv", EVEN, shares(EVEN), heading, above=above, below=below)
    table = read_sizes(file)
    assert list(table.samples) == ["mine"]
    assert "100 lines after it were left out" in "; ".join(table.findings)
    assert fitted(table)[0].median_nm == pytest.approx(95, rel=2e-3)


def test_a_second_table_below_a_plain_one_is_refused(tmp_path):
    again = "".join(f"{c},1\n" for c in range(1, 9))
    file = written(tmp_path / "a.csv", EVEN, shares(EVEN), below=again)
    with pytest.raises(InputError, match=r"line 122: the size is '1' after 597\.5"):
        read_sizes(file)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Size,Count\n" + "".join(f"{i},1\n" for i in range(9)), "does not state its unit"),
        ("Size (nm),Diameter (um),n\n1,2,3\n", "several columns may be the size"),
        (
            "Size (nm),n\n" + "".join(f"{i},{i if i != 7 else '1.2.3'}\n" for i in range(9)),
            "line 9, column 'n'",
        ),
        ("diameter_nm\n5\n6\n", "too few"),
        ("diameter_nm\n5\n-6\n" + "7\n" * 50, "above 0"),
    ],
)
def test_refused(tmp_path, text, says):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InputError, match=says):
        read_sizes(tmp_path / "a.csv")


def thousands(separator, size=str, number="{:,}".format):
    """A histogram of 38 bins around 100 nm, 1,000 to 10,000 particles each."""
    counts = [1000 + int(9000 * np.exp(-(np.log(c / 100) ** 2) / 0.25)) for c in range(25, 405, 10)]
    rows = [f"{size(c)}{separator}{number(n)}" for c, n in zip(range(25, 405, 10), counts, strict=True)]
    return "\n".join([f"Size (nm){separator}Count", *rows])


def table_of(sizes, heading="count"):
    return f"Size (nm),{heading}\n" + "\n".join(f"{size},{i % 7}" for i, size in enumerate(sizes))


FALLING = [round(20 * 1.04**i) for i in range(80)][::-1]
"""Rounding makes neighbors equal below 25 nm."""
SHUFFLED = [round(20 * 1.1 ** (27 * i % 40)) for i in range(40)]
UNEQUAL = [20 + (27 * i % 40) ** 2 for i in range(40)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (thousands("\t"), r"'1,\d{3}'.*thousands"),
        (thousands(",", number='"{:,}"'.format), r"column 'Count' is '1,\d{3}', not a number"),
        (
            thousands(";", "{},5".format, lambda n: f"{n:,}".replace(",", ".")),
            r"'25,5'|'1\.\d{3}', not a number",
        ),
        ("Size (nm)\n" + "\n".join(map(str, range(25, 405, 10))), "equal steps, as bins do, and no column"),
        ("Size (nm)\n" + "\n".join(str(20 * 1.1**i) for i in range(40)), "equal steps, as bins do"),
        (
            "Size (nm),n\n" + "\n".join(f"{25 + 10 * (11 * i % 38)},{i}" for i in range(38)),
            "equal steps, as bins do, and they do not rise from row to row",
        ),
        (table_of(FALLING), "sizes fall from 443 to 20 nm: sort"),
        (table_of(FALLING[::-1]), "equal steps, as bins do, and they do not rise"),  # 20, 21, 22, 22, ...
        (table_of(SHUFFLED, "Signal"), "equal steps, as bins do, and they do not rise"),
        ("Size (nm)\n" + "\n".join(map(str, SHUFFLED)), "equal steps, as bins do, and no column"),
        (table_of(UNEQUAL, "Concentration (1/mL)"), r"'Concentration \(1/mL\)' may hold the heights"),
        (table_of(UNEQUAL, "dN/dD"), "'dN/dD' may hold the heights of a histogram: sort"),
        (
            "Size (nm),n\n" + "\n".join(f"{900 - 10 * i - i % 3},{i}" for i in range(40)),
            "sizes fall from 900 to 510 nm: sort",
        ),
        ("Size (nm),n\n50,1\n70,2\n90,1\n", "3 rows are too few: a histogram needs 6 bins"),
    ],
)
def test_bins_are_never_taken_for_particles(tmp_path, text, says):
    """Numbers that cannot be read are no reason to fit the centers of bins."""
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InputError, match=says):
        read_sizes(tmp_path / "a.csv")


def test_sorted_particles_may_be_equal(tmp_path):
    """A list of diameters alone is one of particles in any order."""
    sizes = np.sort(np.random.default_rng(1).lognormal(np.log(110), 0.3, 400).round(0))
    (tmp_path / "a.csv").write_text("Size (nm)\n" + "\n".join(map(str, sizes)))
    assert read_sizes(tmp_path / "a.csv").samples["Size (nm)"].sum() == 400


def test_particles_may_have_other_columns(tmp_path):
    """In any order, beside what no histogram has; even where few values were possible."""
    random = np.random.default_rng(2)
    for n, width in ((36, 0.3), (400, 0.3), (400, 0.02)):
        sizes = random.lognormal(np.log(110), width, n).round(0)
        (tmp_path / "a.csv").write_text(table_of(sizes, "Blockade (nA)"))
        assert sum(read_sizes(tmp_path / "a.csv").samples["Size (nm)"]) == n


def test_a_decimal_comma_of_numbers_alone(tmp_path):
    """Sizes in whole nm beside concentrations with a decimal comma."""
    plain = thousands(";", number="{:.4E}".format)
    (tmp_path / "a.csv").write_text(plain)
    (tmp_path / "b.csv").write_text(plain.replace(".", ","))
    one, two = (read_sizes(tmp_path / name) for name in ("a.csv", "b.csv"))
    assert one is not None
    assert two is not None
    assert (one.samples["Count"] == two.samples["Count"]).all()


def test_samples_far_apart_have_no_mean(tmp_path):
    lines = [f"{c},{a},{b}" for c, a, b in zip(EVEN[1:] - 2.5, shares(EVEN), shares(EVEN * 1.5), strict=True)]
    (tmp_path / "a.csv").write_text("diameter_nm,one,two\n" + "\n".join(lines))
    found = fitted(read_sizes(tmp_path / "a.csv"))
    assert "63.3 nm (two) to 95.0 nm (one)" in spread(found)
    assert spread(found[:1]) == ""


def test_particles_of_several_samples_are_not_one(tmp_path):
    """By the column ``Sample``, unless each has few particles."""
    draws = np.exp(np.random.default_rng(1).normal(np.log(100), 0.3, 400))

    def read(heading, name):
        rows = [f"{d * (2 if i % 2 else 1):.2f},{name(i)}" for i, d in enumerate(draws)]
        (tmp_path / "a.csv").write_text("\n".join([f"Diameter (nm),{heading}", *rows]))
        return read_sizes(tmp_path / "a.csv")

    two = read("Sample ID", lambda i: f"s{i % 2}")
    assert [each.median_nm for each in fitted(two)] == pytest.approx([100, 200], rel=0.1)
    assert "samples by 'Sample ID': 's0', 's1'" in two.findings
    assert spread(fitted(two)).startswith("the medians lie too far apart")
    assert {each: n.sum() for each, n in two.samples.items()} == {"s0": 200, "s1": 200}
    assert list(read("Sample ID", lambda i: i % 40).samples) == ["Diameter (nm)"]
    assert list(read("Probe", lambda i: f"s{i % 2}").samples) == ["Diameter (nm)"]


def test_few_particles_of_a_sample_join_no_other(tmp_path):
    """Samples of too few particles for a distribution are left out, with a note; blank cells are a sample."""
    draws = np.exp(np.random.default_rng(1).normal(np.log(100), 0.3, 400))

    def read(heading, name):
        rows = [f"{d:.2f},{name(i)}" for i, d in enumerate(draws)]
        (tmp_path / "a.csv").write_text("\n".join([f"Diameter (nm),{heading}", *rows]))
        return read_sizes(tmp_path / "a.csv")

    blank = read("Sample", lambda i: "" if i == 7 else f"s{i % 2}")
    assert {each: n.sum() for each, n in blank.samples.items()} == {"s0": 200, "s1": 199}
    assert "left out, with fewer than 36 particles: 'blank (1)'" in blank.findings
    small = read("Sample", lambda i: "b" if i < 29 else "a")
    assert {each: n.sum() for each, n in small.samples.items()} == {"a": 371}
    both = read("Replicate,Sample", lambda i: f"r{i % 2},s{i // 200}")
    assert list(both.samples) == ["r0, s0", "r1, s0", "r0, s1", "r1, s1"]
    each_few = read("Donor", lambda i: i % 40)
    assert list(each_few.samples) == ["Diameter (nm)"]
    assert any("each sample by 'Donor' has fewer than 36 particles" in note for note in each_few.findings)


def test_what_holds_no_sizes_is_left_to_others(tmp_path):
    (tmp_path / "a.csv").write_text("time_h,diameter_nm\n0,1\n1,2\n")
    assert read_sizes(tmp_path / "a.csv") is None
    (tmp_path / "a.csv").write_text("topic,unit\nsize,nm\nother,1\n")
    assert read_sizes(tmp_path / "a.csv") is None
