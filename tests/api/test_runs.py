"""Scenarios and runs in Python: the same checks, the same run in memory and on disk, plots into axes."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

import exoabm as xo
from exoabm.errors import InputError, RunFailed, ScenarioError
from exoabm.readers.cell_table import read_cells
from exoabm.readers.options import AmbiguousTable
from exoabm.tables.declarations import RUN_TABLES
from tests.conftest import Command

mpl.use("Agg")
from matplotlib import pyplot as plt

SMALL = {"domain.voxel": "40 um", "clock.step": "10 min", "transport.engine": "vesicles"}
RATE = "cell_type.donor.release_rate"


@pytest.fixture(scope="module")
def made() -> xo.Run:
    return xo.run("two_cells", SMALL, seed=3, hours=2)


def test_results_inside_finished_results_are_refused(made: xo.Run, tmp_path: Path) -> None:
    """A run was written into another's folder, where `exoabm verify` then found its files foreign."""
    kept = made.save(tmp_path / "run").folder
    for call in (xo.run, xo.sensitivity):
        with pytest.raises(InputError, match=r"lies inside .*run, which holds finished results"):
            call("two_cells", out=kept / "a/b")
    (tmp_path / "manifest.json").write_text('{"name": "of another program"}')
    assert xo.run("two_cells", SMALL, seed=1, hours=0.5, out=tmp_path / "beside").folder.is_dir()


def test_values_of_python_are_those_of_a_file() -> None:
    import pint

    unit = pint.UnitRegistry()
    given = ["120 / h", 120, (2, "1/min"), np.float64(120), np.array(120.0), 2 / unit.minute]
    rates = [xo.scenario("two_cells", {RATE: each}).scenario.cell_type[0].release_rate for each in given]
    assert len(set(map(float, rates))) == 1
    cubes = ([90, 90, 90], np.full(3, 90), "[90, 90, 90]")
    sizes = [xo.scenario("two_cells", domain__size=each) for each in cubes]
    assert len({each.sha256() for each in sizes}) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cell_type.donor.release_rat": 3}, "did you mean 'release_rate'"),
        ({RATE: "3 um"}, "has dimension length"),
        ({RATE: -1}, "outside the allowed"),
        ({RATE: object()}, "a value is a text"),
        ({RATE: ("2", "1/h", 3)}, RATE),
        ({"seed": 3}, "a seed is not a key"),
    ],
)
def test_a_wrong_change_is_refused_by_key_value_and_range(changes: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        xo.scenario("two_cells", changes)


def test_a_scenario_is_built_of_mappings_changed_and_saved(tmp_path: Path) -> None:
    import tomllib

    raw = tomllib.loads(xo.scenario("two_cells").written())
    built = xo.scenario(raw, {RATE: 7})
    again = built.changed({"clock.step": (5, "min")})
    assert again.scenario.cell_type[0].release_rate.magnitude == 7
    assert xo.scenario(again.save(tmp_path / "mine.toml")).sha256() == again.sha256()
    with pytest.raises(ScenarioError, match="unknown key"):
        xo.scenario(raw | {"colour": 1})
    with pytest.raises(InputError, match="exists already"):
        again.save(tmp_path / "mine.toml")
    html = again._repr_html_()
    assert all(word in html for word in (RATE, "<td style='text-align:left'>7</td>", "1/h", "this scenario"))


def test_a_table_in_memory_is_read_as_the_file_of_its_columns(tmp_path: Path) -> None:
    import pandas as pd

    rows = {"x_um": [10.0, 60.0, 30.0], "y_um": [10, 40, 80], "cell_type": ["T cell", "tumor", "tumor"]}
    frame = pd.DataFrame(rows, index=pd.Index(["a", "b", "c"], name="cell_id"))
    frame.to_csv(tmp_path / "cells.csv")
    changes = {"cell_type.T_cell.release_rate": "50 / h", "clock.step": "10 min", "domain.voxel": "40 um"}
    found = xo.scenario_from_table(frame, changes)
    wanted = xo.scenario_from_table(tmp_path / "cells.csv", changes)
    assert found.scenario.cell_type == wanted.scenario.cell_type
    cells = [xo.run(each, seed=1, hours=0.5).cells for each in (found, wanted)]
    assert cells[0].equals(cells[1])
    assert set(cells[0]["source_id"].to_pylist()) == {"a", "b", "c"}
    written = found.save(tmp_path / "mine.toml")
    assert xo.scenario(written).table_path() == (tmp_path / "mine.DataFrame.parquet").resolve()
    (tmp_path / "other.DataFrame.parquet").write_bytes(b"of someone else")
    with pytest.raises(InputError, match=r"other\.DataFrame\.parquet exists already"):
        found.save(tmp_path / "other.toml")
    assert (tmp_path / "other.DataFrame.parquet").read_bytes() == b"of someone else"
    assert not (tmp_path / "other.toml").exists()
    write, kept = Path.write_bytes, {path.name for path in tmp_path.iterdir()}

    def full(path: Path, content: bytes) -> int:
        """The first file fits, and the second one does not."""
        if ".new.DataFrame." in path.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, content)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(RunFailed, match="nothing was written to"):
            found.save(tmp_path / "folder" / "new.toml")
    assert {path.name for path in tmp_path.iterdir()} == kept
    categories = frame.assign(cell_type=frame.cell_type.astype("category"))
    assert xo.scenario_from_table(categories, changes).scenario.cell_type == found.scenario.cell_type
    assert xo.scenario(frame).name.endswith("DataFrame.parquet")
    for index, ids in (
        (list("abc"), list("abc")),
        (pd.CategoricalIndex(list("abc")), list("abc")),
        ([7, 8, 9], list("123")),
    ):  # numbers are what a filter left
        table = xo.scenario_from_table(frame.set_axis(index), changes).table_path()
        assert read_cells(table).ids == ids
    several = frame.set_axis(pd.MultiIndex.from_product([["s"], list("abc")]))
    with pytest.raises(InputError, match="DataFrame: no table of cells: its index has 2 levels without a"):
        xo.scenario_from_table(several, changes)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x_um": ["a", "b"]}, r"^DataFrame: row 1, column 'x_um' is 'a', not a number"),
        ({"x_um": [1.0, float("nan")]}, r"row 2, column 'x_um' is blank, not a"),
        ({"cell_type": ["a", 1]}, "DataFrame: no table of cells: .*cell_type"),
        ({"x_um": None}, "no column is named like x"),
    ],
)
def test_a_table_in_memory_has_the_checks_of_a_file(change: dict[str, object], said: str) -> None:
    import pandas as pd

    rows = {"x_um": [10.0, 60.0], "y_um": [10.0, 40.0], "cell_type": ["T", "B"]} | change
    with pytest.raises(InputError, match=said):
        xo.scenario_from_table(pd.DataFrame({k: v for k, v in rows.items() if v is not None}))


def test_a_name_of_markup_is_text_in_a_notebook() -> None:
    assert "<b>" not in xo.scenario("two_cells", info__title="<b>x")._repr_html_()


def test_the_run_of_a_folder_is_the_run_in_memory(made: xo.Run, tmp_path: Path) -> None:
    kept = xo.run("two_cells", SMALL, seed=3, hours=2, out=tmp_path / "run")
    model = xo.ExosomeModel("two_cells", seed=3, overrides=SMALL)
    model.run(hours=2)
    for run in (kept, xo.open_run(tmp_path / "run"), made.save(tmp_path / "saved")):
        for table in RUN_TABLES:
            a, b = getattr(made, table.name), getattr(run, table.name)
            assert (a is None and b is None) or a.equals(b, check_metadata=True), table.name
        assert run.summary == made.summary
        assert run.fields.identical(made.fields)
        assert dict(run.communication.edges) == dict(made.communication.edges)
    own = model.edges
    assert own.num_rows == made.edges.num_rows > 0
    assert all(made.edges[name].equals(own[name]) for name in own.column_names)
    metrics = made.metrics.to_pandas()
    for name, column in model.metrics.items():
        np.testing.assert_array_equal(
            metrics[name].to_numpy(float), column.to_numpy(float), err_msg=str(name)
        )


def test_the_folder_of_a_run_without_one_is_gone_with_it() -> None:
    run = xo.run("two_cells", SMALL, seed=3, hours=0.5)
    folder, fields = run.folder, run.fields
    assert folder.is_dir()
    del run
    assert not folder.exists()
    assert fields["concentration"].sum() >= 0, "fields of such a run are in memory"


def test_a_run_of_a_run_folder_repeats_it(made: xo.Run) -> None:
    again = xo.run(made.folder)
    assert again.events.equals(made.events)
    assert again.seed == 3


@pytest.mark.parametrize("name", ["plot", "plot_matrix", "plot_network", "plot_map", "plot_field"])
def test_plots_draw_into_the_axes_given(made: xo.Run, name: str) -> None:
    figure, ax = plt.subplots()
    assert getattr(made, name)(ax=ax) is ax
    assert ax.has_data() or ax.patches or ax.collections
    if name in ("plot", "plot_map", "plot_field"):
        assert "(" in ax.get_xlabel(), "a unit"
    plt.close(figure)


def test_a_plot_shows_the_numbers_of_the_table(made: xo.Run) -> None:
    ax = made.plot("free[exosome]")
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), made.metrics["free[exosome]"])
    shown = ax.figure.axes[0]
    assert shown.get_ylabel() == "free vesicles"
    plt.close("all")
    with pytest.raises(InputError, match="did you mean 'free\\[exosome\\]'"):
        made.plot("fre[exosome]")
    with pytest.raises(InputError, match="did you mean 'delivered'"):
        made.plot_matrix("deliverd")


def test_a_matrix_of_many_vesicles_says_its_power_of_ten(
    made: xo.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from exoabm.export import publication_data

    amounts_of = publication_data.amounts_of
    for factor in (1.0, 1e6):
        monkeypatch.setattr(publication_data, "amounts_of", lambda *given, f=factor: f * amounts_of(*given))
        ax = made.plot_matrix("captured")
        power = {"": 1.0, "10³": 1e3, "10⁶": 1e6}[ax.get_title().partition("; numbers in ")[2]]
        shown = float(ax.texts[0].get_text().replace(",", "")) * power
        assert shown == pytest.approx(factor * max(made.pairs["encountered"].to_pylist()), rel=5e-3)
        assert (power > 1) == (factor > 1)
        plt.close("all")


def test_the_axes_of_a_new_figure_are_not_written_out_in_a_notebook(made: xo.Run) -> None:
    ax = made.plot()
    assert ax._ipython_display_() is None, "IPython calls this in place of repr"
    _, own = plt.subplots()
    assert not hasattr(made.plot(ax=own), "_ipython_display_"), "nor are axes of the caller changed"
    plt.close("all")


class Notebook:
    """Displays of a notebook, the last of each."""

    def __init__(self) -> None:
        self.shown: list[dict[str, str]] = []

    def __call__(self, content: dict[str, str], **options: object) -> Notebook:
        self.shown.append(content)
        return self

    update = __call__


def test_a_notebook_shows_a_bar_from_the_beginning_and_warnings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from exoabm.api import progress

    notebook = Notebook()
    monkeypatch.setattr(progress, "_notebook", lambda: notebook)
    monkeypatch.setattr(progress, "EVERY", 0.0)
    with progress.progress_bar("two_cells") as tell:
        assert "starting" in notebook.shown[0]["text/html"]
        tell(0.25)
        assert "25%" in notebook.shown[-1]["text/html"]
    assert {frozenset(each) for each in notebook.shown} == {frozenset(["text/html", "text/plain"])}
    assert notebook.shown[-1]["text/html"] == "", "it is removed"
    progress.show_warnings(["long"], None)
    assert capsys.readouterr().err == "Warning: long\n"
    progress.show_warnings(["long"], False)
    assert capsys.readouterr().err == ""


def test_a_notebook_shows_the_cells_of_a_table_before_the_keys(tmp_path: Path) -> None:
    table = tmp_path / "cells.csv"
    table.write_text("x_um,y_um,cell_type\n10,10,CK+\n60,40,other\n30,80,other\n")
    shown = xo.scenario_from_table(table)._repr_html_()
    before, _, keys = shown.partition("<details>")
    for said in ("3 cells", "um", "y runs upward", "layout__y_axis=&quot;down&quot;"):
        assert said in before
    row = "<tr><td style='text-align:left'>CK+</td><td style='text-align:left'>CK_pos</td>"
    assert row in before
    assert "domain.voxel" in keys
    assert "domain.voxel" not in before
    table.unlink()
    mine = xo.scenario("two_cells")._repr_html_()
    assert "label" not in mine.partition("<details>")[0]


def test_a_scenario_of_a_table_has_a_step_that_is_short_enough() -> None:
    import pandas as pd

    from exoabm.scenario.state_builder import blueprint

    x, y = (10.0 * each.ravel() for each in np.meshgrid(np.arange(12), np.arange(12)))
    dense = pd.DataFrame({"x_um": x, "y_um": y, "cell_type": "tumor"})
    said = {n: xo.scenario_from_table(dense[:n]) for n in (2, 144)}
    assert [float(each.scenario.clock.step) for each in said.values()] == [120.0, pytest.approx(48, abs=40)]
    step = said[144].scenario.clock.step
    assert "120" in step.note
    for factor, long in ((1.0, False), (3.0, True)):
        plan = blueprint(said[144].changed({"clock.step": factor * float(step)}), seed=1)
        assert any("clock.step is long" in each for each in plan.warnings) == long


class LazyFrame:
    """As of polars: no table before it is collected."""

    def collect(self) -> None:
        raise AssertionError


WRONG: dict[str, tuple[Callable[[], object], str]] = {
    "one run": (lambda: xo.sweep("two_cells"), "vary KEY=A,B,C or replicates N"),
    "keep": (lambda: xo.sweep("two_cells", replicates=2, keep="all"), "keep all: readouts or runs"),
    "shard": (lambda: xo.sweep("two_cells", replicates=2, shard="1/2"), "shard needs seed and out"),
    "design": (
        lambda: xo.sweep("two_cells", {"cell_type.donor.release_rate": [1, 2]}, design="cube"),
        "design cube: one of",
    ),
    "cluster": (lambda: xo.sweep("two_cells", replicates=2, cluster="here"), "cluster here: write"),
    "fit": (lambda: xo.fit("two_cells", pd.DataFrame({"time_h": [0, 1], "free": [1, 2]})), "with vary KEY"),
    "silence": (lambda: xo.whatif("two_cells"), "e.g. silence cell:17"),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors_name_arguments_of_python(case: str) -> None:
    made, message = WRONG[case]
    with pytest.raises(InputError) as error:
        made()
    assert message in str(error.value)
    assert not re.search(r"--[a-z]", re.sub("`[^`]*`", "", str(error.value)))


def test_errors_of_a_command_name_its_options(command: Command) -> None:
    found = command("sweep", "two_cells", "--out", "a")
    assert (found.code, "give --vary KEY=A,B,C or --replicates N" in " ".join(found.err.split())) == (2, True)


def test_a_table_that_cannot_be_used_is_refused_in_words_of_python(tmp_path: Path) -> None:
    import pandas as pd

    pixels = pd.DataFrame({"x_px": [1.0, 40.0], "y_px": [1.0, 60.0], "cell_type": ["a", "b"]})
    with pytest.raises(InputError, match=r"layout__unit='") as refused:
        xo.scenario_from_table(pixels)
    assert "--set" not in str(refused.value)
    assert "parquet" not in str(refused.value)
    micrometers = pixels.rename(columns={"x_px": "x_um", "y_px": "y_um"})
    for named in (
        xo.scenario_from_table(micrometers),
        xo.scenario(micrometers, layout__unmapped="bystander"),
    ):
        assert named.scenario.info.title == "Communication between the cells of DataFrame"
    with pytest.raises(InputError, match=r"^two_cells: cell_type\.donr\.release_rate: there is no cell_type"):
        xo.scenario("two_cells", {"cell_type.donr.release_rate": 3})
    for call in (xo.scenario_from_table, xo.scenario, lambda lazy: xo.fit("two_cells", lazy, ["a=1:2"])):
        with pytest.raises(InputError, match=r"a LazyFrame is no .*collect\(\) first"):
            call(LazyFrame())
    with pytest.raises(InputError, match=r"layout\.table: a DataFrame is no value of a key") as refused:
        xo.scenario("tissue", {"layout.table": pixels})
    assert len(str(refused.value)) < 200


def test_options_of_an_ambiguous_table_are_valid_python_and_valid_words_of_a_shell(tmp_path: Path) -> None:
    """Of a column whose name has an apostrophe."""
    import ast
    import shlex

    from exoabm.readers.options import command_line_option

    column = "pathologist's label"
    table = tmp_path / "cells.csv"
    table.write_text(f"x_um,y_um,{column}\n1,1,T\n40,60,B\n20,9,B\n")
    with pytest.raises(AmbiguousTable) as refused:
        xo.scenario_from_table(table)
    assert "--set" not in str(refused.value)
    given = [line.strip() for line in str(refused.value).splitlines() if line.startswith("    ")]
    call = ast.parse(f"f({', '.join(given)})", mode="eval").body
    assert {each.arg: ast.literal_eval(each.value) for each in call.keywords} == {"layout__cell_type": column}  # type: ignore[attr-defined]
    assert xo.scenario_from_table(table, layout__cell_type=column)
    shell = refused.value.stating(command_line_option)
    words = [shlex.split(each) for each in shell.splitlines() if each.startswith("    ")]
    assert words == [["--set", f"layout.cell_type={column}"]]


def test_a_table_that_is_read_once_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    import pandas as pd

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    data = pd.DataFrame({"time_h": [0.0, 1.0], "emitted[exosome]": [0.0, 60.0]})
    with pytest.raises(InputError, match="select the parameters to fit"):
        xo.fit("two_cells", data, {})
    with pytest.raises(InputError, match=r"none\.h5ad"):
        xo.score(tmp_path / "none.h5ad", data)
    assert not list(tmp_path.iterdir())


def test_warnings_of_a_resumed_run_are_printed_where_a_bar_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from types import SimpleNamespace

    run = SimpleNamespace(folder=tmp_path, warnings=("long",), recognized="")
    monkeypatch.setattr("exoabm.runs.run_execution.resume_run", lambda *_, **__: run)
    (tmp_path / "run.json").write_text('{"warnings": ["coarse"]}')
    monkeypatch.setattr(xo.Run, "about", {"warnings": ["coarse"]})
    for asked, said in ((True, ["Warning: coarse", "Warning: long"]), (False, [])):
        assert isinstance(xo.resume(tmp_path, progress=asked), xo.Run)
        lines = capsys.readouterr().err.splitlines()
        assert [line[line.find("Warning") :] for line in lines if "Warning" in line] == said


def test_a_folder_that_exists_is_refused_with_what_python_can_do(tmp_path: Path, made: xo.Run) -> None:
    from exoabm.api.saving import saved_folder

    with pytest.raises(InputError, match="overwrite=True"), saved_folder(tmp_path, {"fit.json"}):
        pytest.fail("it is not refused")
    (tmp_path / "run.json").touch()
    for act in (made.save, made.export, lambda out: xo.run("two_cells", out=out)):
        with pytest.raises(InputError, match="overwrite=True"):
            act(tmp_path)


def test_a_notebook_shows_figures_after_the_first() -> None:
    """The backend turns interactive mode on within the first figure; later ones are shown if it stays on."""
    from exoabm.api.plots import new_axes

    with mpl.rc_context({"interactive": False}):
        with new_axes(None):
            mpl.interactive(True)
        assert mpl.is_interactive()
    plt.close("all")


def test_an_animation_has_a_frame_per_recorded_time(made: xo.Run, tmp_path: Path) -> None:
    found = made.animate()
    found.save(tmp_path / "field.gif", writer="pillow", dpi=40)
    from PIL import Image

    with Image.open(tmp_path / "field.gif") as image:
        assert image.n_frames == made.fields.sizes["time"]
    plt.close("all")


def test_times_have_units_and_are_refused_by_name() -> None:
    assert xo.run("two_cells", SMALL, seed=1, hours="30 min").hours == 0.5
    with pytest.raises(InputError, match="hours -1: must be above 0"):
        xo.run("two_cells", hours=-1)
    with pytest.raises(InputError, match="checkpoint_every needs out"):
        xo.run("two_cells", checkpoint_every="1 h")


def test_checkpoints_that_would_all_come_after_the_run_are_refused(tmp_path: Path) -> None:
    kept = {"checkpoint_every": "2 h", "keep_checkpoints": True}
    with pytest.raises(InputError, match="every 2 h: none would be kept, because the run ends at 1 h"):
        xo.run("two_cells", SMALL, seed=1, hours=1, out=tmp_path / "a", **kept)
    assert not list(tmp_path.iterdir())
