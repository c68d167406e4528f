"""Pages: their commands and keys are accepted, their sources exist, their numbers are those of a run."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from page_headings import HEADINGS

from exoabm import ExosomeModel
from exoabm.accounting.mass_balance import PLACES
from exoabm.batch.calibration.factors import factors_of
from exoabm.batch.sweeps.sweep import plan_sweep
from exoabm.cli import app
from exoabm.errors import InputError
from exoabm.output.metrics import measure
from exoabm.parameters import references
from exoabm.runs.run_execution import run_to_folder
from exoabm.scenario.loader import load, shipped
from exoabm.tables.finished_run import Run

ROOT = Path(__file__).parents[2]
PAGES = {name: path.with_suffix(".md") for name, path in shipped().items()}
README, ODD = ROOT / "README.md", ROOT / "ODD.md"
CLI: Any = typer.main.get_command(app)

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"`([^`\n]+)`")
SETTING = re.compile(r"--set \S")
RUNS = ("run", "trial", "sweep", "sensitivity", "fit", "whatif", "causal")
"""Commands that compute for long."""


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def sections(page: str) -> dict[str, str]:
    """Second-level sections and their texts; what stands in code is no heading."""
    parts = re.split(r"^## (.+)\n", FENCE.sub(lambda m: m[0].replace("\n#", "\n "), page), flags=re.MULTILINE)
    return dict(zip(parts[1::2], (part.strip() for part in parts[2::2]), strict=True))


def spans(page: str) -> list[str]:
    """Code within lines, such as `this`."""
    return SPAN.findall(FENCE.sub("", page))


def commands(page: str) -> list[str]:
    """Every exoabm command of a page, in code blocks, on however many lines, and within lines."""
    blocks = [
        line
        for kind, block in FENCE.findall(page)
        if kind == "sh"
        for line in re.sub(r"\s*\\\n\s*", " ", block).splitlines()
    ]
    return [each for each in blocks + spans(page) if each.startswith("exoabm ")]


def settings(page: str) -> list[str]:
    """Every piece of code within lines that is made of --set options."""
    return [span for span in spans(page) if SETTING.match(span)]


def obey(command: str) -> None:
    """Parse a command in full, and carry out all of it that costs nothing.

    Of what runs a scenario, once or often, the scenario is validated and what varies is read; what reads a
    run folder, scores, the benchmark, the page and ``--converge`` are only parsed.
    """
    name, *rest = shlex.split(command, comments=True)[1:]
    if not rest and any(parameter.required for parameter in CLI.commands[name].params):
        return  # mentioned, not given
    given = CLI.commands[name].make_context(name, list(rest)).params
    source = next(filter(None, map(given.get, ("scenario", "source", "folder", "a", "truth"))), None)
    if str(source).startswith("runs/") or str(source).isupper() or given.get("converge"):
        return  # a run that is not there, a name to be filled in, or many runs
    if name in RUNS:
        chosen = [f"transport.engine={given['engine']}"] if given.get("engine") else []
        pairs = [word for pair in [*(given["set_"] or ()), *chosen] for word in ("--set", pair)]
        CLI(["validate", source, *pairs], standalone_mode=False)
        vary = [text for text in given.get("vary") or () if not text.startswith("KEY=")]
        if name == "sweep":
            plan_sweep(load(source), vary, design=given["design"], replicates=given["replicates"], seed=1)
        elif vary:
            factors_of(load(source), vary)
    elif name == "new":  # pages write to one file more than once
        CLI([name, *rest, "--overwrite"], standalone_mode=False)
    elif name not in ("bench", "dash", "score"):
        CLI([name, *rest], standalone_mode=False)


def python(word: str) -> str:
    """The Python of the README that contains a word."""
    (code,) = [block for kind, block in FENCE.findall(text(README)) if kind == "python" and word in block]
    return str(code)


def unknown_sources(section: str) -> set[str]:
    """Words in code of a section on references that are no keys of the bibliography."""
    return {span for span in spans(section) if " " not in span} - references().keys()


def table(page: str, first: str) -> list[list[str]]:
    """Rows of the first Markdown table whose head begins with ``first``, its head included."""
    start = page.index(f"| {first} |")
    rows = page[start:].split("\n\n")[0].splitlines()
    cells = [[cell.strip() for cell in row.strip().strip("|").split("|")] for row in rows]
    return [cells[0], *cells[2:]]


def misprinted(printed: dict[str, str], found: dict[str, float]) -> set[str]:
    """Columns whose printed number is not the one found, rounded to as many places."""
    return {
        name
        for name, number in printed.items()
        if f"{found[name]:.{len(number.partition('.')[2])}f}" != number
    }


DOCS = [f"docs/{path.stem}" for path in sorted((ROOT / "docs").glob("*.md")) if commands(text(path))]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with the tables that pages call one's own; they do not say their unit."""
    cells = text(shipped()["tissue"].with_name("tissue_cells.csv")).replace("x_um,y_um", "x,y", 1)
    (tmp_path / "cells.csv").write_text(cells)
    (tmp_path / "cells.tsv").write_text(cells.replace(",", "\t"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_every_section_and_none_is_empty(name: str) -> None:
    found = sections(text(PAGES[name]))
    assert list(found) == HEADINGS
    assert all(found.values())


def test_an_empty_section_is_seen() -> None:
    page = "# T\n\n## What is it\n\n## How it works\n\n```sh\n# no heading\n```\n"
    assert sections(page) == {"What is it": "", "How it works": "```sh\n  no heading\n```"}


@pytest.mark.parametrize("name", [*PAGES, "README", "ODD", *DOCS])
def test_every_command_is_accepted(name: str, desk: Path) -> None:
    page = text(PAGES.get(name, ROOT / f"{name}.md"))
    found = sorted(
        commands(page), key=lambda command: "export" not in command
    )  # first to write, then to read
    assert len(found) >= 4 or name == "ODD" or name in DOCS
    for command in found:
        obey(command)


@pytest.mark.parametrize("name", PAGES)
def test_every_change_to_try_is_accepted(name: str, desk: Path) -> None:
    found = settings(text(PAGES[name]))
    assert len(found) >= 4
    for change in found:
        CLI(["validate", name, *shlex.split(change)], standalone_mode=False)


@pytest.mark.parametrize(
    ("command", "error", "reason"),
    [
        ("exoabm run signaling --set cell_type.donor.relase_rate=3", InputError, "unknown key"),
        ("exoabm run signalling", InputError, "did you mean"),
        ("exoabm run signaling --speed 3", Exception, "--speed"),
        ("exoabm run signaling --engine vesicle", InputError, "engine"),
        ("exoabm walk signaling", KeyError, "walk"),
        ("exoabm run missing.toml", InputError, "no scenario file"),
    ],
)
def test_a_wrong_command_is_seen(command: str, error: type[Exception], reason: str, desk: Path) -> None:
    assert commands(f"```sh\n{command}\n```\n and `{command}`.") == [command, command]
    with pytest.raises(error, match=reason):
        obey(command)


@pytest.mark.parametrize("name", PAGES)
def test_every_source_is_in_the_bibliography(name: str) -> None:
    section = sections(text(PAGES[name]))["References"]
    assert len(spans(section)) >= 4
    assert not unknown_sources(section)
    assert f"exoabm cite {name}" in spans(section)


def test_an_unknown_source_is_seen() -> None:
    assert unknown_sources("So `chiu2016`, and `nobody1900`; `exoabm cite x`.") == {"nobody1900"}


@pytest.mark.parametrize("name", PAGES)
def test_the_numbers_of_a_page_are_those_of_a_run(name: str) -> None:
    """The ledger at the end, seed 1, a row for each vesicle kind or one for all; origins do not alter it."""
    page = text(PAGES[name])
    by_kind = "| vesicle | emitted" in page
    head, *rows = table(page, "vesicle" if by_kind else "emitted")
    columns = ["endosomal" if column == "in endosomes" else column for column in head[by_kind:]]
    assert set(columns) <= {"emitted", *PLACES}
    model = ExosomeModel(name, seed=1, overrides={"transport.provenance": "cell_type"})
    model.run()
    kinds = model.state.balance.totals()
    found = list(kinds.values())
    if by_kind:
        assert [row[0].strip("`") for row in rows] == list(kinds)
    else:
        found = [{place: sum(kind[place] for kind in found) for place in ("emitted", *PLACES)}]
    for row, totals in zip(rows[: len(found)], found, strict=True):
        assert not misprinted(dict(zip(columns, row[by_kind:], strict=True)), totals)


QUOTED = {
    "competition": {"": {r"^([\d.]+)$": "delivered[exosome]"}},
    "disease_progression": {"": {r"^(\d+) \|": "affected", r"\| (\d+) µm$": "farthest_um"}},
    "hidden_donors": {"half_life": {r"take up ([\d,]+)": "taken_up[exosome_b]"}},
    "screening": {"": {r"^([\d,.]+)$": "taken_up_per_cell[target]"}},
    "tissue": {
        "tumor.release_rate=0": {r"takes up ([\d,]+) instead": "taken_up_per_cell[tumor]"},
        "macrophage.uptake_rate=0": {
            r": ([\d,]+) instead .* regulatory T": "taken_up_per_cell[regulatory_t]"
        },
        "macrophage.uptake_rate=14": {r"([\d,]+) per macrophage": "taken_up_per_cell[macrophage]"},
    },
    "tumor_delivery": {"": {r"\| (\d+)$": "deaths[tumor]"}},
    "tumor_niche": {"": {r"^(\d+) \|": "cells[tumor]", r"\| (\d+)$": "cells[helper]"}},
    "two_cells": {"--set": {r"^([\d,]+(?:\.\d+)?)": "taken_up[exosome]"}},
    "waste_removal": {
        "--set": {r"^([\d.]+)": "waste_units_per_cell[stressed]"},
        "faces": {r"([\d,]+) vesicles leave": "escaped[waste_vesicle]"},
        "lysosomal_rate": {
            r"; (\d+) became senescent": "transformations[stressed]",
            r"of which (\d+) live": "cells[senescent]",
            r"contain (\d+)": "waste_units_per_cell[senescent]",
        },
    },
}
"""Numbers that tables of changes quote, as patterns by a word of the change, and their readouts."""


@pytest.mark.parametrize(
    "name", [name if name == "screening" else pytest.param(name, marks=pytest.mark.slow) for name in QUOTED]
)
def test_the_changes_to_try_give_the_numbers_of_the_page(name: str) -> None:
    """Finer grids are left out."""
    checked = set()
    for change, *told in table(text(PAGES[name]), "change")[1:]:
        patterns = {p: r for word, each in QUOTED[name].items() if word in change for p, r in each.items()}
        sets = dict(word.split("=", 1) for word in shlex.split(change.strip("`")) if "=" in word)
        if not patterns or "domain.voxel" in sets or change.startswith("the same"):
            continue
        model = ExosomeModel(name, seed=1, overrides=sets)
        model.run()
        row = measure(model.state) | (front(model) if name == "disease_progression" else {})
        for pattern, readout in patterns.items():
            printed = re.search(pattern, " | ".join(told))
            assert printed, (change, pattern)
            assert not misprinted({readout: printed[1].replace(",", "")}, row), (change, row[readout])
            checked.add(readout)
    assert checked == {r for each in QUOTED[name].values() for r in each.values()}


def test_a_misprint_is_seen() -> None:
    found = {"free": 468.58, "bound": 0.4351, "emitted": 1440.0}
    assert not misprinted({"free": "468.6", "bound": "0.435", "emitted": "1440"}, found)
    assert misprinted({"free": "468.7", "bound": "0.435", "emitted": "1439"}, found) == {"free", "emitted"}


def unnamed_intervals(page: str) -> list[str]:
    """Sentences with the interval of a mean of pairs that do not call it an interval."""
    sentences = re.split(r"(?<=[.:]) (?=[A-Z*-])", " ".join(page.split()))
    return [s for s in sentences if re.search(r"\d pairs[^;)]* [\d.]+ to [\d.]+", s) and "interval" not in s]


@pytest.mark.parametrize("name", PAGES)
def test_an_interval_of_a_mean_is_called_so(name: str) -> None:
    """Single pairs differ more than the interval of their mean."""
    assert not unnamed_intervals(text(PAGES[name]))


def test_an_interval_that_reads_as_the_range_of_pairs_is_seen() -> None:
    assert unnamed_intervals("It rises. Here 170 times (20 pairs: 142 to 208 times). It falls.")
    assert not unnamed_intervals("It rises 170 times (20 pairs; 95 % interval 142 to 208 times).")


def test_a_page_counts_the_seeds_with_a_warning() -> None:
    """Positions drawn by 20 seeds of hidden_donors, as far as voxels of 5 um resolve them."""
    warned = {seed: w for seed in range(1, 21) if (w := ExosomeModel("hidden_donors", seed=seed).warnings)}
    page = " ".join(text(PAGES["hidden_donors"]).split())
    assert f"for {len(warned)} of the seeds 1 to 20 but not for seed 1" in page
    assert 1 not in warned
    errors = [int(re.search(r"\(([+-]\d+) %\)", each)[1]) for (each,) in warned.values()]
    assert f"by up to about {max(map(abs, errors))} %" in page


def front(model: ExosomeModel) -> dict[str, float]:
    """Neurons with 100 seeds or more, and how far from the first cell the farthest of them is."""
    state = model.state
    names = np.array([each.name for each in state.types])[state.cells.type]
    affected = (names != "phagocyte") & (state.cells.cargo[:, 0] >= 100)
    (first,) = state.cells.position[names == "first"]
    distance = np.linalg.norm(state.cells.position[affected] - first, axis=1)
    return {"affected": float(affected.sum()), "farthest_um": float(distance.max())}


@pytest.mark.slow
def test_the_doses_per_batch_that_production_quotes_are_means_of_20_batches() -> None:
    chains = {
        "ultracentrifugation": '["ultracentrifugation"]',
        "tangential flow, then chromatography": '["tangential_flow", "chromatography"]',
        "tangential flow, which retains most": '["tangential_flow"]',
    }
    page = text(PAGES["production"])
    for process, chain in chains.items():
        printed = re.search(rf"\| {process} \| ([\d.]+)(?: \(seed 1: ([\d.]+)\))? \|", page)
        assert printed, process
        doses = []
        for seed in range(1, 21):
            model = ExosomeModel("production", seed=seed, overrides={"manufacturing.chain": chain})
            model.run()
            doses.append(measure(model.state)["batch_doses"])
        found = {"mean": float(np.mean(doses)), "seed 1": doses[0]}
        assert not misprinted({"mean": printed[1], "seed 1": printed[2] or f"{doses[0]:.2f}"}, found)


def test_the_front_of_disease_progression_is_where_the_page_says() -> None:
    """At half of the run and at its end."""
    page = " ".join(text(PAGES["disease_progression"]).split())
    model, at = ExosomeModel("disease_progression", seed=1), []
    for hours in (240, 480):
        model.run_until(hours * 3600)
        at.append(front(model))
        told = re.search(rf"[Aa]fter {hours} h (?P<affected>\d+)\D+ within (?P<farthest_um>\d+) µm", page)
        assert told
        assert not misprinted(told.groupdict(), at[-1])
    speed = (at[1]["farthest_um"] - at[0]["farthest_um"]) / 240
    assert f"about {speed:.1f} µm per hour" in page


@pytest.mark.slow
def test_followers_approach_as_fast_as_the_page_says() -> None:
    """Captures, mean velocity of approach and its standard error, of loads that run fast."""
    rows = [row for row in table(text(PAGES["chemotaxis"]), "copies per vesicle")[1:] if int(row[0]) >= 128]
    for copies, _, captured, approach in rows:
        rate = 2000 / int(copies)
        overrides = {"cargo.signal.copies": copies, "cell_type.leader.release_rate": f"{rate} / h"}
        models = [ExosomeModel("chemotaxis", seed=seed, overrides=overrides) for seed in range(10)]
        start = [distance_from_the_first(model) for model in models]
        for model in models:
            model.run()
        speeds = [(s - distance_from_the_first(m)).mean() / 6 for s, m in zip(start, models, strict=True)]
        encounters = [model.edges.to_pandas().encountered.sum() / 14 for model in models]
        found = {
            "captured": np.mean(encounters),
            "mean": np.mean(speeds),
            "error": np.std(speeds, ddof=1) / np.sqrt(10),
        }
        mean, error = approach.split(" ± ")
        assert not misprinted({"captured": captured, "mean": mean, "error": error}, found), (copies, found)
    assert [row[0] for row in rows] == ["128", "512", "2048"]


def distance_from_the_first(model: ExosomeModel) -> np.ndarray:
    """Of all other cells from the first, in um."""
    position = model.state.cells.position
    return np.linalg.norm(position[1:] - position[0], axis=1)


@pytest.mark.parametrize("path", [README, ODD, *PAGES.values()], ids=lambda path: path.name)
def test_every_file_named_exists(path: Path) -> None:
    page = text(path)
    named = [span for span in spans(page) if re.fullmatch(r"(exoabm|tests|scenarios)/[\w./]+", span)]
    linked = [link for link in re.findall(r"\]\(([^)]+)\)", page) if "://" not in link]
    missing = [each for each in named + linked if not (ROOT / each.partition("#")[0]).exists()]
    assert not missing
    assert path not in (README, ODD) or len(named + linked) >= 5


def test_the_python_of_the_readme_runs() -> None:
    code = python("ExosomeModel")
    made: dict[str, object] = {}
    exec(code.replace("hours=24", "hours=1"), made)  # noqa: S102
    model = made["model"]
    assert isinstance(model, ExosomeModel)
    assert model.hours == 1
    assert model.communication.number_of_edges() == 2100


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run described in pages, with single vesicles."""
    desk = tmp_path_factory.mktemp("desk")
    run_to_folder(load("signaling", {"transport.engine": "vesicles"}), desk / "runs" / "each", seed=1)
    return desk


def test_the_events_of_a_vesicle_in_the_readme(counted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every event of a vesicle, in order, and the two copies that it carried."""
    monkeypatch.chdir(counted)
    made: dict[str, Any] = {}
    exec(python("read_parquet"), made)  # noqa: S102
    life = made["life"]
    hours = [f"{time / 3600:.3f}" for time in life.time_s]
    recipients = ["" if np.isnan(cell) else f"{cell:.0f}" for cell in life.recipient]
    rows = zip(life.event, hours, life.donor.astype(int).astype(str), recipients, strict=True)
    assert [tuple(row) for row in table(text(README), "event")[1:]] == list(rows)
    cargo = Run(counted / "runs" / "each").vesicle_cargo.to_pandas()
    assert cargo[cargo.vesicle == life.vesicle.iloc[0]].copies.tolist() == [2]


def test_the_counts_that_the_pages_quote(counted: Path) -> None:
    head, row = table(text(PAGES["signaling"]), "counted")
    names = {"counted": "emitted", "in endosomes": "endosomal"}
    summary = json.loads((counted / "runs" / "each" / "summary.json").read_text())
    (found,) = summary["mass_balance"].values()
    assert not misprinted({names.get(c, c): n for c, n in zip(head, row, strict=True)}, found)
    run = Run(counted / "runs" / "each")
    events, copies = run.events.to_pandas(), run.vesicle_cargo.to_pandas().set_index("vesicle").copies
    told = events[events.event == "delivery"]
    empty, reached = (copies[told.vesicle] == 0).sum(), told.recipient.nunique()
    sentence = (
        f"the {len(told)} vesicles that opened to the cytosol in the counted run, {empty} carried no copy"
    )
    assert sentence in text(PAGES["signaling"])
    assert f"a vesicle opened in {reached} recipients" in text(PAGES["signaling"])


def test_the_exact_answer_that_the_pages_quote() -> None:
    """From 24 to 72 h `signaling` takes up 18,364.10 vesicles, as the transfer matrix predicts."""
    model = ExosomeModel("signaling", seed=1, overrides={"transport.provenance": "cell_type"})
    model.run(24)
    start = model.state.trafficking.taken_up.sum()
    model.run(48)
    gain = model.state.trafficking.taken_up.sum() - start
    expected = model.transfer_matrix().taken_up.sum() * 48 * 60
    assert gain == pytest.approx(expected, rel=1e-9)
    assert np.round([gain, expected], 2).tolist() == [18364.1, 18364.1]
    for path in (README, PAGES["signaling"]):
        assert text(path).count("18,364.10") == 2
