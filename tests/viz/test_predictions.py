"""Predictions are judged by the reader's own runs, on the same random numbers."""

from __future__ import annotations

import math
import re
import time
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import reacton
import solara
from ipyvuetify import Html
from pydantic import ValidationError

from exoabm import ExosomeModel
from exoabm.batch.execution.run_readouts import measure
from exoabm.scenario.loader import shipped
from exoabm.tables.readouts import parse
from exoabm.viz import app, page_run
from exoabm.viz.components.paired_runs import PairedRuns
from exoabm.viz.components.prediction import _Judged, verdict
from exoabm.viz.components.widgets import CanvasWidget
from exoabm.viz.parameter_controls import SHARES, controls_of
from exoabm.viz.results import prediction_readouts
from exoabm.viz.results.charts import MOST_POINTS, chart_of, curves
from exoabm.viz.results.prediction_readouts import final_readouts
from exoabm.viz.results.text_summary import recorded_summary
from exoabm.viz.run_setup import Prediction, first_setup, shipped_intro
from exoabm.viz.server import session as session_module
from exoabm.viz.server.frames import header
from exoabm.viz.server.session import Session
from exoabm.viz.teaching.lesson_page import origin_of_numbers, sections


@pytest.mark.parametrize("scenario", sorted(shipped()))
def test_every_scenario_asks_what_its_runs_can_answer(scenario: str) -> None:
    intro, setup = shipped_intro(scenario), first_setup(scenario)
    assert intro is not None
    prediction, loaded = intro.prediction, setup.load()
    assert prediction is not None
    controls = controls_of(loaded)
    for key, given in prediction.set.items():
        text = controls[key].read(given)
        assert text != controls[key].applied
        assert controls[key].kind == "choice" or 0 <= controls[key].share(text) <= SHARES
    if prediction.set:
        assert intro.controls[0] in prediction.set, "the control that is marked is the one in question"
    tables = ("cell_type", "vesicle", "cargo", "dose")
    names = {each.name for table in tables for each in getattr(loaded.scenario, table)}
    for readout in filter(None, (prediction.readout, prediction.over)):
        if readout.startswith("distance_um["):
            assert set(readout[12:-1].split(", ")) <= names
        else:
            assert set(parse(readout).names) <= names


def test_limits_lie_between_answers() -> None:
    prediction = shipped_intro("signaling").prediction
    assert [prediction.right_answer([1.0, after]) for after in (0.5, 1.0, 2.0)] == list(prediction.answers)
    assert prediction.right_answer([0.0, 0.0]) == ""
    assert prediction.right_answer([0.0, 1.0]) == prediction.answers[-1]
    with pytest.raises(ValidationError, match="ascending"):
        Prediction(**{**prediction.model_dump(), "limits": (2.0, 1.0)})


USUAL = {
    "chemotaxis": ("Farther away", {"cell_type.follower.follows.half_max": "20"}, "Closer to the leader"),
    "competition": (
        "More than 1.5 times",
        {"cell_type.recipient.receptor.integrin.number": "430"},
        "About as many",
    ),
    "delivery_routes": ("Fewer than 500", {"dose.dose.carrier_uptake": "0"}, "500 to 100,000"),
    "exosome_vs_cell_therapy": ("At least twice as many", {}, ""),
    "screening": ("At least 90 %", {"cell_type.phagocyte.uptake_rate": "0"}, "About half"),
    "tissue_repair": ("Up to three times as many", {}, ""),
}
"""What the runs answer, and the change of which a reason says that it would change the answer, with that."""


@pytest.mark.parametrize("scenario", USUAL)
def test_the_reason_holds_for_the_runs_and_for_the_change_that_it_names(scenario: str) -> None:
    usual, change, other = USUAL[scenario]
    prediction, opened = shipped_intro(scenario).prediction, dict(first_setup(scenario).overrides)
    for expected, base in ((usual, {}), (other, change)):
        if not expected:
            continue
        rows = []
        for values in [{}, prediction.set] if prediction.set else [{}]:
            model = ExosomeModel(scenario, seed=1, overrides=opened | base | values)
            model.run()
            rows.append(final_readouts(model))
        assert prediction.right_answer(prediction.values(rows)) == expected


@pytest.mark.slow
def test_reasons_with_numbers_hold_for_the_runs() -> None:
    """Copies for each of 60 cells and for those that are still recipients; a tumor at four and six days."""
    mirna = ExosomeModel(
        "native_mirna",
        seed=1,
        overrides=dict(first_setup("native_mirna").overrides) | {"cargo.mirna.copies": "100"},
    )
    mirna.run()
    found = final_readouts(mirna)
    assert 500 < 100 * found["delivered[exosome]"] / 60 < 750
    assert 0.7 < found["cells[reprogrammed]"] / 60 < 0.8
    assert found["copies_delivered_per_cell[recipient, mirna]"] < 100
    sizes = []
    for value in ("50", "500"):
        changes = {"response.conditioning.half_max": value, "clock.duration": "144 h"}
        tumor = ExosomeModel("tumor_niche", seed=1, overrides=changes)
        tumor.run()
        at = {row["time_h"]: row["cells[tumor]"] for row in tumor.history.rows}
        sizes.append((at[96.0], at[144.0]))
    (four, six), (less, later) = sizes
    assert abs((six - later) - (four - less)) <= 5
    assert less / four + 0.05 < later / six


def test_waste_without_return_is_at_the_steady_state_that_the_reason_states() -> None:
    """p / (k_lys + k_exo), with the export rates before and after the change."""
    prediction = shipped_intro("waste_removal").prediction
    waste = first_setup("waste_removal").load().scenario.cell_type[0].waste
    after, before = map(float, re.search(r"hold (\d+) units .* and (\d+) without", prediction.why).groups())
    (changed,) = map(float, prediction.set.values())
    for told, export in ((before, waste.export_rate.magnitude), (after, changed)):
        assert told == round(waste.production.magnitude / (waste.lysosomal_rate.magnitude + export))


def test_vesicles_without_uptake_by_phagocytes_are_within_the_stated_range() -> None:
    low, high = (
        float(text.replace(",", ""))
        for text in re.findall(r"\d+,?\d+", shipped_intro("delivery_routes").prediction.why)
    )
    entered = []
    for seed in range(1, 21):
        model = ExosomeModel("delivery_routes", seed=seed, overrides={"dose.dose.carrier_uptake": "0"})
        model.run()
        entered.append(final_readouts(model)["entered_tissue[dose]"])
    assert low <= min(entered) <= max(entered) <= high


@pytest.mark.parametrize("half_life", [24, 72])
def test_therapeutic_cells_die_by_their_half_life_rather_than_by_the_immune_response(half_life: int) -> None:
    """The reason of exosome_vs_cell_therapy said the contrary; a host with memory kills nearly all others."""
    living = []
    for memory in ("0", "1"):
        changes = {"dose.cells.therapeutic_half_life": f"{half_life} h", "immunity.initial_memory": memory}
        model = ExosomeModel("exosome_vs_cell_therapy", seed=1, overrides=changes)
        model.run()
        living.append(final_readouts(model)["living_share[cells]"] / 0.5 ** (240 / half_life))
    assert 0.85 < living[0] < 1
    assert living[1] < 0.2


@pytest.mark.parametrize("scenario", sorted(shipped()))
def test_a_question_names_the_values_before_and_after_the_change(scenario: str) -> None:
    """As in "16 copies instead of 128" and "from 0.05 to 0.4": new and old value are those of the runs."""
    prediction, loaded = shipped_intro(scenario).prediction, first_setup(scenario).load()
    controls = controls_of(loaded)
    known = {f"{float(controls[key].applied):g}" for key in prediction.set}
    made = {f"{float(controls[key].read(text)):g}" for key, text in prediction.set.items()}
    for after, before in re.findall(r"([\d.]+)[^.;:?\d]*? instead of ([\d.]*\d)", prediction.question):
        assert (after in made, before in known) == (True, True)
    for before, after in re.findall(r"from ([\d.]+)(?: \w+)? to ([\d.]*\d)", prediction.question):
        assert (after in made, before in known) == (True, True)


def test_a_reach_that_no_vesicle_shows_is_no_readout() -> None:
    """A donor whose only uptake is its own: its mean over other cells is undefined, not 0."""
    own = {"cell_type.donor.takes_up": "['exosome']", "cell_type.recipient.uptake_rate": "0"}
    model = ExosomeModel("two_cells", seed=1, overrides=own)
    model.run(1)
    assert final_readouts(model)["taken_up[exosome]"] > 0
    assert "reach_mean_um[donor]" not in final_readouts(model)
    assert measure(model).get("reach_mean_um[donor]") is None


def test_a_run_without_the_readout_answers_nothing() -> None:
    """A mean over the cells of a type of which none is left is missing."""
    prediction = shipped_intro("tumor_delivery").prediction
    values = prediction.values([{prediction.readout: 3.0}, {}])
    assert prediction.right_answer(values) == ""
    right, words = verdict(prediction, prediction.answers[0], [{prediction.readout: 3.0}, {}])
    assert (right, "The runs do not answer the question." in words) == (False, True)
    single = shipped_intro("delivery_routes").prediction
    assert "The run does not answer the question." in verdict(single, single.answers[0], [{}])[1]


def test_two_runs_judge_the_prediction() -> None:
    """With ten times the uptake rate vesicles are taken up closer to the donors; the run says so."""
    small = {"clock.duration": "2", "transport.engine": "continuum", "clock.step": "60"}
    prediction = shipped_intro("signaling").prediction
    runs = PairedRuns(first_setup("signaling").changed(small), prediction.set)
    runs.finish()
    end = time.monotonic() + 60
    while not runs.finished and time.monotonic() < end:
        time.sleep(0.05)
    rows = runs.final_readouts()
    runs.close()
    assert len(rows) == 2
    for answer in prediction.answers:
        right, words = verdict(prediction, answer, rows)
        assert right == (answer == "Less far")
        assert "without the change" in words
        assert answer in words
    swapped, _ = verdict(prediction, "Less far", rows[::-1])
    assert not swapped


@pytest.mark.parametrize("leave", ["open a tab", "begin another run"])
def test_the_run_of_a_prediction_belongs_to_the_page(leave: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closed together with the question, it would stop in another tab, and draw nothing any more."""
    played: list[Session] = []
    monkeypatch.setattr(Session, "play", lambda self, **_: played.append(self))
    pages: list[app.Here] = []

    @solara.component
    def page() -> None:
        pages.append(page_run.use_here("scenario=signaling"))
        app._Workspace(pages[0])

    _, context = reacton.render_fixed(page(), handle_error=False)
    here = pages[0]
    here.session.value.speed = 3600.0
    for words in ("Less far", "Set the value and run both"):
        buttons = context.find(Html, tag="button").widgets
        next(each for each in buttons if words in each.children).fire_event("click", {})
    assert here.setup.value.changed({}) == first_setup("signaling").changed(
        shipped_intro("signaling").prediction.set
    )
    beside, predicted = played
    assert predicted.speed == 3600.0, "as the reader chose it"
    assert here.session.value is predicted
    if leave == "open a tab":
        here.tab.set("talk")
    else:
        here.begin(here.setup.value)
    run = here.session.value
    assert (run is predicted) == (leave == "open a tab")
    before = context.find(CanvasWidget).widget.frame
    run.with_field = not run.with_field
    run.redraw()
    assert context.find(CanvasWidget).widget.frame == run.frame != before
    nobody = session_module._ignore
    assert (beside.on_change is nobody, run.on_change is nobody) == (True, False)
    context.close()
    assert run.on_change is nobody


@pytest.mark.parametrize("tab", ["try", "compare"])
def test_a_picture_rests_when_its_run_does(tab: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words and time of the last pulse are those of the end: the picture was not told that the run ended."""
    sessions: dict[int, Session] = {}
    goes_on = [True]

    def playing(session: Session) -> bool:
        sessions[id(session)] = session
        return goes_on[0]

    monkeypatch.setattr(Session, "playing", property(playing))

    @solara.component
    def page() -> None:
        here = page_run.use_here("scenario=two_cells")
        solara.use_memo(lambda: here.tab.set(tab), [])
        app._Workspace(here)

    _, context = reacton.render_fixed(page(), handle_error=False)
    for now in (True, False, True):
        goes_on[0] = now
        for session in tuple(sessions.values()):
            session.on_change()
        assert {picture.playing for picture in context.find(CanvasWidget).widgets} == {now}
    context.close()


def test_the_page_is_said_to_show_the_change_only_while_it_does() -> None:
    prediction = shipped_intro("signaling").prediction
    one, two, later = Mock(), Mock(), Mock()
    rows = [{prediction.readout: 2.0}, {prediction.readout: 1.0}]
    runs = Mock(error="", finished=True, sessions=(one, two), final_readouts=lambda: rows)

    def notes(session: Mock) -> str:
        element = _Judged(prediction, "Less far", runs, session, 0)
        _, context = reacton.render_fixed(element, handle_error=False)
        words = " ".join(child for p in context.find(Html, tag="p").widgets for child in p.children)
        context.close()
        return words

    note = "Picture, curves and controls show the run with the change."
    assert note in notes(two)
    assert note not in notes(later)
    assert prediction.why.strip() in notes(later)


@pytest.mark.parametrize("scenario", sorted(shipped()))
def test_the_plot_opens_with_the_readout_of_the_scenario(scenario: str) -> None:
    session = Session(first_setup(scenario).load())
    asked = session._model.scenario.main_readout
    first = next(iter(session.charts.values()))
    assert chart_of(shipped_intro(scenario).prediction, session.charts), "what is judged can be followed"
    assert asked.metric in [line.column for line in first.lines]
    assert len({parse(line.column).quantity for line in first.lines}) == 1, "nothing dwarfs it"
    assert (first.title.lower() == asked.title.lower()) == (len(first.lines) == 1), "of one cell type"
    assert asked.metric in final_readouts(session._model)


@pytest.mark.parametrize("scenario", ["chemotaxis", "production"])
def test_what_is_judged_is_drawn_over_time(scenario: str) -> None:
    """A mean distance and a ratio, which the metrics do not have."""
    prediction, session = shipped_intro(scenario).prediction, Session(first_setup(scenario).load())
    session.play(until=session.end / 8)
    session._worker.join()
    chart = session.charts[chart_of(prediction, session.charts)]
    (line,) = curves(session._model, chart, session.judged.rows)
    (column,) = (each.column for each in chart.lines)
    assert column not in session._model.metrics.columns
    assert len(line["x"]) > 10
    assert line["x"][-1] > 0.9 * session.time / 3600
    rows = [final_readouts(session._model)]
    session.judged.back_to(session.judged.rows[-1]["time_s"] - 1)
    session.judged.note(session._model, session.end)
    assert session.judged.rows[-1][column] == pytest.approx(prediction.values(rows)[0])
    session.judged.back_to(0.0)
    assert [row["time_s"] for row in session.judged.rows] in ([], [0.0])


def test_what_is_not_there_yet_is_sought_as_seldom_as_it_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    sought: list[float] = []
    monkeypatch.setattr(prediction_readouts, "measure", lambda state: {})
    monkeypatch.setattr(prediction_readouts, "final_readouts", lambda model: sought.append(model.state.time))
    asked = SimpleNamespace(readout="ratio", over="", values=lambda rows: [math.nan])
    curve = prediction_readouts.JudgedCurve(asked, SimpleNamespace(state=None))
    for at in range(2 * MOST_POINTS + 1):
        curve.note(SimpleNamespace(state=SimpleNamespace(time=at)), 2 * MOST_POINTS)
    assert sought == [*range(0, 2 * MOST_POINTS + 1, 2)]
    assert not curve.rows


COARSE = {"transport.engine": "continuum", "clock.step": "30 min", "clock.duration": "6 h"}


@pytest.mark.parametrize("scenario", [n for n in sorted(shipped()) if not shipped_intro(n).prediction.set])
def test_the_control_that_is_marked_moves_what_is_judged(scenario: str) -> None:
    """Of questions without a change; the others change this very control."""
    prediction, key = shipped_intro(scenario).prediction, shipped_intro(scenario).controls[0]
    applied = controls_of(first_setup(scenario).load())[key].applied
    found = []
    for text in (applied, f"{float(applied) / 2:g}"):
        model = ExosomeModel(scenario, seed=1, overrides=COARSE | {key: text})
        model.run()
        found += prediction.values([final_readouts(model)])
    assert abs(found[1] / found[0] - 1) > 0.1


def test_a_hurried_run_tells_the_time_left_by_its_own_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(first_setup("screening").load())
    session.speed = 10.0
    assert session.left > session.end / 11
    monkeypatch.setattr(Session, "playing", True)
    session.time, session._hurried, session._begun = 0.75 * session.end, True, (0.0, time.monotonic() - 30)
    assert session.left == pytest.approx(10, abs=0.5)


PAGE_RUNS = {
    "production": (r"of which ([\d,]+) are free at the end", ["free[vesicle]"]),
    "relay": (r"(\d+), 121 and 96 of 150", ["responding_cells[relay]"]),
    "two_cells": (r"ends with (\d+) of\s([\d,]+) taken up", ["taken_up[exosome]", "emitted[exosome]"]),
}


@pytest.mark.parametrize(
    "scenario", [pytest.param(name, marks=[pytest.mark.slow] * (name != "relay")) for name in PAGE_RUNS]
)
def test_texts_tell_what_the_run_of_the_page_has(scenario: str) -> None:
    pattern, readouts = PAGE_RUNS[scenario]
    text = shipped()[scenario].with_suffix(".md").read_text(encoding="utf-8")
    told = [float(number.replace(",", "")) for number in re.search(pattern, text).groups()]
    model = ExosomeModel(scenario, seed=1, overrides=dict(first_setup(scenario).overrides))
    model.run()
    found = final_readouts(model)
    assert told == [found[name] for name in readouts]


@pytest.mark.parametrize("scenario", sorted(shipped()))
def test_the_text_names_the_command_of_the_run_on_the_page(scenario: str) -> None:
    setup, note = first_setup(scenario), origin_of_numbers(scenario)
    assert f"`exoabm run {scenario} --seed 1`" in note
    assert (f"`{setup.command}`" in note) == bool(setup.overrides or "first run" in note)
    assert ("transport.engine=vesicles" in note) == ("transport.engine" in dict(setup.overrides))


@pytest.mark.parametrize("scenario", sorted(shipped()))
def test_lists_of_a_text_are_lists(scenario: str) -> None:
    html = "".join(body for _, body in sections(scenario))
    assert not re.search(r"^\s*- ", re.sub(r"<pre>.*?</pre>", "", html, flags=re.DOTALL), re.MULTILINE)


def test_words_of_a_recorded_frame_are_of_its_time() -> None:
    session = Session(first_setup("two_cells").changed({"transport.engine": "continuum"}).load())
    session._model.run(hours=2)
    for frame, words in (
        (session.recording.frames[0], "After 0 min (recorded): 0 vesicles"),
        (
            session._draw(),
            "After 2.00 h (recorded): about 106 vesicles free in the medium; fewer than 1 opened",
        ),
    ):
        assert recorded_summary(header(frame), session.drawn_class).startswith(words)
    assert session._model.state.balance["free"].sum() == pytest.approx(106, abs=0.5)
