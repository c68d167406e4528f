"""Text from files is shown, never obeyed: no control character and no markup of it reaches the terminal."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from exoabm.cli.console import _Console, print_json, progress
from exoabm.errors import ScenarioError, visible
from exoabm.scenario.loader import load, parse, shipped

SPELLS = {
    "color": "\x1b[31m",
    "title of the window": "\x1b]0;mine\x07",
    "C1": "\x9b31m",
    "carriage": "a\rb",
    "backspace": "a\x08b",
    "null": "a\x00b",
    "delete": "\x7f",
    "override": "\u202etxt.exe",
    "isolate": "\u2066x\u2069",
    "line": "a\u2028b",
}
PLACES = {
    "title": 'title = "Two cells"',
    "question": 'question = "',
    "note": 'note = "',
    "source": 'source = "assumed"',
}


def toml_of(text: str) -> str:
    return json.dumps(text, ensure_ascii=True)[1:-1].replace("\x7f", "\\u007f")


@pytest.mark.parametrize("spell", SPELLS)
@pytest.mark.parametrize("place", PLACES)
def test_a_scenario_with_a_control_character_is_refused(spell: str, place: str) -> None:
    text = shipped()["two_cells"].read_text(encoding="utf-8")
    start = PLACES[place].split('"')[0] + '"'
    assert start in text
    text = text.replace(start, start + toml_of(SPELLS[spell]), 1)
    with pytest.raises(ScenarioError, match=r"contains a control character, U\+") as refusal:
        parse(text.encode(), name="mine", folder=Path())
    assert visible(str(refusal.value)) == str(refusal.value)


def test_in_keys_and_overrides_too() -> None:
    with pytest.raises(ScenarioError, match=r"info\.title.*U\+001B"):
        load("two_cells", {"info.title": "\x1b[2J"})
    with pytest.raises(ScenarioError, match=r"info\.\\x1b.*U\+001B"):
        load("two_cells", {"info.\x1b": "1"})


def test_letters_of_any_language_and_lines_are_let_through() -> None:
    title = "Was µm, 中文, עברית, emoji \N{SMILING FACE WITH OPEN MOUTH}, [red]plain[/red]"
    assert load("two_cells", {"info.title": title}).scenario.info.title == title
    assert load("two_cells", {"info.summary": "two\nlines\tand a tab"}).scenario.info.summary


@pytest.mark.parametrize("spell", SPELLS)
def test_what_is_printed_shows_control_characters(spell: str) -> None:
    """Whatever is printed, in a line, a table or JSON, on a terminal with colors."""
    from rich.table import Table

    file = io.StringIO()
    console = _Console(file=file, force_terminal=True, color_system="truecolor", width=80)
    table = Table("column" + SPELLS[spell], title="title" + SPELLS[spell])
    table.add_row("cell" + SPELLS[spell])
    console.print(table)
    console.print("[bold]line[/]" + SPELLS[spell], highlight=False)
    own = file.getvalue()
    for code in ("\x1b[1m", "\x1b[3m", "\x1b[0m"):  # what the program itself says to the terminal
        own = own.replace(code, "")
    assert visible(own) == own
    assert own.count(visible(SPELLS[spell])) == 4


def test_json_is_shown_too(capsys: pytest.CaptureFixture[str]) -> None:
    given = {"title": "".join(SPELLS.values())}
    print_json(given)
    text = capsys.readouterr().out
    assert visible(text) == text
    assert json.loads(text) == given


def test_markup_in_a_scenario_is_shown_as_it_is(command, tmp_path) -> None:
    words = ("--set", "info.title=[red]A[/red] [/]", "--set", "info.question=[blink]B[/blink]")
    assert "[red]A[/red] [/]" in command("show", "two_cells", *words).out
    assert "[blink]B[/blink]" in command("show", "two_cells", *words).out
    done = command("run", "two_cells", *words, "--hours", 0.05, "--seed", 1, "--out", "[red]a[/]")
    assert done.code == 0
    assert "[red]A[/red] [/]" in done.out
    assert "[red]a[/]" in done.out
    command("resume", "[red]b[/]").refused(2, "[red]b[/]")
    command("sweep", "two_cells", "--vary", "domain.voxel=9:100:1", "--out", "c").refused(2, "=9:100:1'")


@pytest.mark.parametrize("spell", ["color", "override"])
def test_labels_of_a_table_and_names_of_files_are_shown(command, tmp_path, spell) -> None:
    bad = SPELLS[spell]
    (tmp_path / f"t{bad}.csv").write_text(f"x,y,type\n1,2,{bad}\n3,4,{bad}b\n", encoding="utf-8")
    table = ("--set", f"layout.table=t{bad}.csv", "--set", "layout.cell_type=type", "--set", "layout.unit=um")
    done = command("validate", "tissue", *table)
    assert done.code == 2
    assert visible(done.err) == done.err
    assert visible(done.out) == done.out


def test_a_run_folder_from_elsewhere_is_shown(command, tmp_path) -> None:
    """Its ``run.json`` may hold anything."""
    assert command("run", "two_cells", "--hours", 0.05, "--seed", 1, "--out", "a").code == 0
    about = json.loads((tmp_path / "a" / "run.json").read_text())
    about["scenario_name"] = about["warnings"] = ["\x1b[31m[red]"]
    about["scenario"]["info"]["title"] = "\x1b[31m[red]"
    (tmp_path / "a" / "run.json").write_text(json.dumps(about))
    done = command("compare", "a", "a")
    assert "Traceback" not in done.err
    for text in (done.out, done.err):
        assert visible(text) == text


# A command alone, and a reader that goes away.


def test_exoabm_alone_shows_its_help(exoabm) -> None:
    done = exoabm()
    assert done.code == 0
    assert "Usage" in done.out
    assert "run" in done.out
    assert done.err == ""


@pytest.mark.parametrize(
    "words", [[], ["--help"], ["run", "--help"], ["cite"], ["list", "--json"]], ids=" ".join
)
def test_a_reader_that_goes_away_is_no_error(words, tmp_path) -> None:
    command = [sys.executable, "-m", "exoabm", *words]
    # Elsewhere than in the checkout, whose folder exoabm would stand before the installed package.
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=tmp_path)
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0
    assert err == ""


@pytest.mark.parametrize(("total", "said"), [(None, "17 "), (20, "17 of 20 "), (1.0, "1700%")])
def test_a_bar_tells_the_number_of_all_only_where_it_is_known(
    monkeypatch: pytest.MonkeyPatch, total: float | None, said: str
) -> None:
    screen = io.StringIO()
    monkeypatch.setattr("exoabm.cli.console.err", _Console(file=screen, force_terminal=True, width=100))
    with progress("[red]{x}:100:") as tell:
        tell(17, total)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    assert said in plain
    assert "[red]{x}:100: " in plain
    assert (" of " in plain) is (total == 20)
