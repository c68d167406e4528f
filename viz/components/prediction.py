"""The question to predict before a run, and its judgment by two runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import solara

from exoabm.errors import ExoError
from exoabm.text_formatting import number
from exoabm.viz.components.paired_runs import PairedRuns
from exoabm.viz.components.widgets import Button, html
from exoabm.viz.results.text_summary import phrase
from exoabm.viz.run_setup import first_setup, judged

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from exoabm.viz.run_setup import Prediction, Setup
    from exoabm.viz.server.session import Session


@solara.component
def Question(
    prediction: Prediction,
    session: Session,
    setup: Setup,
    pulse: solara.Reactive[int],
    begin: Callable[..., bool],
) -> None:
    """A question to predict; one button sets the values and makes the runs that judge the prediction.

    The page shows the run with these values from its start to its end; another run begun in its place before
    takes the judgment back, and one begun after it allows another prediction.
    """
    _ = pulse.value  # drawn again whenever the run on the page advances
    answer = solara.use_reactive("")
    runs: solara.Reactive[PairedRuns | None] = solara.use_reactive(None)
    other = solara.use_reactive(0)
    _ = other.value  # and the one beside it
    problem = solara.use_reactive("")

    def run() -> None:
        try:
            made = PairedRuns(first_setup(setup.scenario, seed=setup.seed), prediction.set)
        except ExoError as error:
            problem.set(str(error))
            return
        made.listen(lambda: other.set(other.peek() + 1))
        shown = made.sessions[-1]
        begin(made.setups[-1], as_made=shown, speed=session.speed)  # before it is looked for on the page
        runs.set(made)
        made.finish()

    def close() -> None:
        """End the run beside; that on the page is the page's own, which ends it with the next."""
        made = runs.peek()
        for beside in made.sessions[:-1] if made is not None else ():
            beside.close()

    def take_back() -> None:
        close()
        runs.set(None)

    def predict(words: str) -> None:
        if runs.peek() is not None:  # judged, and the page shows another run
            take_back()
        answer.set(words)

    def forget() -> None:
        if replaced:
            take_back()

    made = runs.value
    shown = made is not None and session is made.sessions[-1]
    replaced = made is not None and not made.finished and not shown
    solara.use_effect(forget, [replaced])
    solara.use_effect(lambda: close, [])
    with html("section", "exo-question exo-first"):
        html("h2", text="Predict first")
        html("p", text=prediction.question)
        with html("div", "exo-answers", attributes={"role": "group", "aria-label": "Your prediction"}):
            for words in prediction.answers:
                attributes: dict[str, Any] = {"aria-pressed": str(answer.value == words).lower()}
                if made is not None and (shown or not made.finished):
                    attributes["disabled"] = True
                Button(words, lambda words=words: predict(words), "exo-answer", attributes)
        if problem.value:
            html("p", "exo-problem", text=problem.value, attributes={"role": "alert"})
        if answer.value and runs.value is None:
            value = "values" if len(prediction.set) > 1 else "value"
            Button(f"Set the {value} and run both" if prediction.set else "Run it", run, "exo-strong")
        elif runs.value is not None:
            _Judged(prediction, answer.value, runs.value, session, pulse.value + other.value)


@solara.component
def _Judged(prediction: Prediction, answer: str, runs: PairedRuns, session: Session, pulse: int) -> None:
    """The progress of the runs, and then their values, the verdict and the reason; ``session`` is shown."""
    with html("div", "exo-judged", attributes={"role": "status"}):
        if runs.error:
            html("p", "exo-problem", text=runs.error)
        elif not runs.finished:
            share = {"max": "1", "value": f"{runs.progress:.3f}", "aria-label": "Model time of the runs"}
            html("progress", attributes=share).key("progress")
        else:
            right, words = verdict(prediction, answer, runs.final_readouts())
            html("p", "exo-right-answer" if right else "exo-wrong-answer", text=words).key("verdict")
            html("p", "exo-note", text=prediction.why)
            if prediction.set and session is runs.sessions[-1]:
                html("p", "exo-note", text="Picture, curves and controls show the run with the change.")


def verdict(prediction: Prediction, answer: str, rows: Sequence[Mapping[str, float]]) -> tuple[bool, str]:
    """Whether the runs with these final readouts confirm an answer, and their values in a sentence."""
    values = prediction.values(rows)
    truth = prediction.right_answer(values)
    found = [phrase(number(value), prediction.unit) for value in values]
    label = prediction.label[0].upper() + prediction.label[1:]
    made, text = "The run does", f"{label}: {found[0]}."
    if len(found) > 1:
        made, text = "The runs do", f"{label}: {found[0]} without the change, {found[1]} with it."
    return judged(answer, truth, text, f"{made} not answer the question.")
