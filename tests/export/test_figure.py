"""Figures from finished runs and sweeps: their numbers, their text, their bytes, and what is refused."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import stats

from exoabm.errors import InputError
from exoabm.export import publication_data
from exoabm.export.figure_list import FIGURES
from exoabm.export.publication_data import FigureRequest, amounts_of, distances_of, donors_and_recipients
from exoabm.export.publication_figures import draw_figure
from exoabm.export.type_exchange import exchange_of
from exoabm.runs.run_execution import run_to_folder
from exoabm.scenario.loader import load
from exoabm.text_formatting import number
from tests.batch.two_vesicle_types import RATE
from tests.conftest import Command


@pytest.fixture(scope="module")
def run(sweep: Path) -> Path:
    """One of its runs, by itself."""
    return sorted((sweep / "runs").iterdir())[0]


def words(svg: Path) -> list[str]:
    """All text of an SVG."""
    return [
        "".join(each.itertext()).strip() for each in ET.parse(svg).iter("{http://www.w3.org/2000/svg}text")
    ]


@pytest.mark.parametrize("what", FIGURES)
def test_the_same_input_gives_the_same_bytes_and_no_date(what: str, sweep: Path, tmp_path: Path) -> None:
    for ending in (".svg", ".pdf", ".png") if what == "matrix" else (".svg",):
        for name in "ab":
            draw_figure(str(sweep), what, tmp_path / f"{name}{ending}", dpi=60)
        content = (tmp_path / f"a{ending}").read_bytes()
        assert content == (tmp_path / f"b{ending}").read_bytes()
        assert not re.search(rb"dc:date|CreationDate|D:20\d\d", content)


def test_text_is_text(sweep: Path, tmp_path: Path) -> None:
    draw_figure(str(sweep), "matrix", tmp_path / "a.svg")
    said = words(tmp_path / "a.svg")
    for text in ("donor", "taker_of_all", "columns receive"):
        assert text in said
    assert any("rows send, columns receive" in line for line in said)
    assert sum("n = 3 runs per point" in line and "seed 1" in line for line in said) == 1
    draw_figure(str(sweep), "matrix", tmp_path / "a.pdf")
    content = (tmp_path / "a.pdf").read_bytes()
    assert b"/CIDFontType2" in content
    assert b"/Type3" not in content


def test_the_numbers_are_means_and_intervals_of_the_runs(sweep: Path, tmp_path: Path) -> None:
    draw_figure(f"{sweep}@{RATE}=240", "matrix", tmp_path / "a.svg", measure="delivered", kind="small")
    values = []
    for row in pq.read_table(sweep / "results.parquet").to_pylist():
        if row[f"{RATE} (1/h)"] == 240:
            edges = pq.read_table(sweep / "runs" / row["row"] / "edges.parquet").to_pandas()
            mine = (edges.vesicle_kind == "small") & (edges.recipient_type == "taker_of_all")
            values.append(edges.delivered[mine & (edges.donor_type == "donor")].sum())
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    said = words(tmp_path / "a.svg")
    assert number(float(np.mean(values))) in said
    assert f"±{number(float(f'{(high - low) / 2:.2g}'))}" in said
    assert "Vesicles delivered in 0.5 h, small; rows send, columns receive" in said


def test_rows_send(sweep: Path) -> None:
    request = FigureRequest(exchange_of(str(sweep)), "taken_up", None, None)
    rows, columns = donors_and_recipients(request.exchange)
    assert rows == columns == ["donor", "taker_of_all"], "idle cells neither send nor take up"
    amounts = amounts_of(request, request.exchange.groups[1], rows, columns)
    assert amounts.shape == (3, 2, 2)
    assert (amounts[:, 0, 1] > 2 * amounts[:, 1, 0]).all(), "donors send far more than they get"


def test_distances_hold_every_delivery_but_those_to_the_sender(run: Path) -> None:
    exchange = exchange_of(str(run))
    found = distances_of(FigureRequest(exchange, "taken_up", None, None), exchange.groups[0].runs[0])
    edges = pq.read_table(run / "edges.parquet").to_pandas()
    own = edges.donor == edges.recipient
    assert found.own == edges.taken_up[own].sum() > 0
    edges_of_bins = np.array([0.0, 40.0, 80.0, 200.0])
    for name in ("donor", "taker_of_all"):
        mine = ~own & (edges.donor_type == name)
        assert found.binned(name, edges_of_bins).sum() == edges.taken_up[mine].sum() > 0
    assert found.distance.max() <= np.hypot(80, 120), "the shorter way around"


@pytest.mark.parametrize(
    ("what", "more", "said"),
    [
        ("matrx", {}, "did you mean 'matrix'"),
        ("matrix", {"measure": "taken"}, "one of captured, taken_up, delivered; did you mean 'taken_up'"),
        ("matrix", {"kind": "smal"}, "one of small, large; did you mean 'small'"),
        ("matrix", {"width": 5.0}, "from 30 to 500"),
        ("matrix", {"dpi": 5.0}, "from 50 to 2400"),
        ("time", {"measure": "captured"}, "not recorded over time"),
    ],
)
def test_what_is_unknown_is_told_with_what_is_known(run, tmp_path, what, more, said) -> None:
    with pytest.raises(InputError, match=said):
        draw_figure(str(run), what, tmp_path / "a.svg", **more)
    assert not list(tmp_path.iterdir())


def test_an_ending_that_is_no_format_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ends in .pdf, .png or .svg; did you mean '.svg'"):
        draw_figure(str(run), "matrix", tmp_path / "a.svgz")


def test_what_stands_there_is_replaced_only_if_asked(run: Path, tmp_path: Path) -> None:
    (tmp_path / "a.svg").write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        draw_figure(str(run), "matrix", tmp_path / "a.svg")
    draw_figure(str(run), "matrix", tmp_path / "a.svg", overwrite=True)
    assert "mine" not in (tmp_path / "a.svg").read_text()


def test_where_nothing_is_there_to_draw_what_there_is_is_told(tmp_path: Path) -> None:
    """No deliveries; donors known by type alone; more points than a page holds."""
    changes = {"vesicle.exosome.delivery_probability": "0", "transport.provenance": "cell_type"}
    folder = run_to_folder(load("two_cells", changes), tmp_path / "run", seed=1, hours=2).folder
    with pytest.raises(InputError, match=r"no vesicles delivered; .*taken_up \d.*nothing delivered"):
        draw_figure(str(folder), "matrix", tmp_path / "a.svg", measure="delivered")
    with pytest.raises(InputError, match=r"donors are known by type alone.*provenance=cell"):
        draw_figure(str(folder), "distance", tmp_path / "a.svg", measure="taken_up")
    draw_figure(str(folder), "network", tmp_path / "a.svg")
    assert "donor" in words(tmp_path / "a.svg"), "the types in a ring"
    draw_figure(str(folder), "time", tmp_path / "b.svg")


def test_too_many_points_are_refused_with_a_way_to_choose(sweep, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("exoabm.export.publication_figures.MOST_PANELS", 1)
    with pytest.raises(InputError, match=rf"2 points, .* choose some, as in '.*@{RATE}=60 / h'"):
        draw_figure(str(sweep), "matrix", tmp_path / "a.svg")


def test_the_strongest_links_are_told(run: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("exoabm.plot.maps.MOST", 3)
    draw_figure(str(run), "network", tmp_path / "a.svg")
    assert any("Drawn are the 3 strongest of" in line for line in words(tmp_path / "a.svg"))
    monkeypatch.setattr(publication_data, "MOST_CELLS", 3)
    draw_figure(str(run), "network", tmp_path / "b.svg")
    assert any("Arrows point from the type that sends" in line for line in words(tmp_path / "b.svg"))


def test_the_command(run: Path, command: Command, tmp_path: Path) -> None:
    draw_figure(str(run), "matrix", tmp_path / "new" / "a.svg", width=120.0)
    root = ET.parse(tmp_path / "new" / "a.svg").getroot()
    assert float(root.get("width").removesuffix("pt")) == pytest.approx(120 / 25.4 * 72, abs=0.01)
    command("figure", run, "--what", "matrices", "--out", "b.svg").refused(2, "did you mean 'matrix'")
