#!/usr/bin/env bash
# reacton 1.11.1: every number of a list given to a widget is visited at each rendering, also of other widgets.
#
# Guess: a rendering costs what has changed; the data of a widget, such as the curves of a plot, are compared once.
# Seen: one label beside a widget with a list of 20,000 numbers is changed: `_visit_children_values`, which looks for
#   elements in the arguments of every element, is called 40,019 times: twice for each number. With the same numbers in
#   an object of a class of one's own it is called 19 times.
# Consequence here: data go to the widgets of the page in objects that are not visited; a page of a class of 30 readers
#   is rendered in half the time.
. "$(dirname "$0")/lib.sh"
packages reacton==1.11.1 ipywidgets==8.1.9

cat >visits.py <<'PYTHON'
import cProfile
import pstats

import ipywidgets
import reacton
import traitlets


class Values:
    """Numbers in an object that is no list."""

    def __init__(self, numbers):
        self.numbers = numbers


class Plot(ipywidgets.DOMWidget):
    series = traitlets.Any()


def visits(data):
    """Calls that one change of a label costs beside a widget with this data."""

    @reacton.component
    def Page():
        at, Page.set_at = reacton.use_state(0)
        with ipywidgets.VBox.element() as box:
            Plot.element(series=data)
            ipywidgets.Label.element(value=str(at))
        return box

    reacton.render(Page(), handle_error=False)
    profile = cProfile.Profile()
    profile.runcall(Page.set_at, 1)
    calls = pstats.Stats(profile).stats
    return sum(found[1] for (_, _, name), found in calls.items() if name == "_visit_children_values")


numbers = [0.0] * 20_000
as_list, as_object = visits(numbers), visits(Values(numbers))
print(f"FINDING visits for a changed label: {as_list:,} beside a list of 20,000, {as_object} beside an object")
assert as_list > 40_000 and as_object < 100
PYTHON
"$python" visits.py 2>&1 | grep -E '^FINDING|Error'
