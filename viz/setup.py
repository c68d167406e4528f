"""What a run on the page is made of: a scenario's name, what is changed in it, and a seed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from exoabm.parameters import Quantity
from exoabm.scenario.fields import entries
from exoabm.scenario.loader import load

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exoabm.scenario.loader import LoadedScenario


@dataclass(frozen=True)
class Setup:
    """The same setup gives the same run, on the page and by ``command``.

    Attributes
    ----------
    scenario : str
        A shipped name; a path only where ``trusted``, that is from the command line.
    overrides : tuple of (str, str)
        Dotted keys and values as text.
    seed : int
    trusted : bool
    """

    scenario: str
    overrides: tuple[tuple[str, str], ...] = ()
    seed: int = 1
    trusted: bool = False

    def load(self) -> LoadedScenario:
        """Read and check the scenario.

        Raises
        ------
        InputError
            As ``scenario.loader.load`` does.
        """
        return load(self.scenario, dict(self.overrides), trusted=self.trusted)

    def changed(self, values: Mapping[str, str]) -> Setup:
        """The setup with other values for some keys."""
        return replace(self, overrides=tuple((dict(self.overrides) | dict(values)).items()))

    def same(self, other: Setup) -> bool:
        """Whether both are of the same scenario with the same changes, in whatever order and by any seed."""
        return self.scenario == other.scenario and dict(self.overrides) == dict(other.overrides)

    @property
    def command(self) -> str:
        """The command line that runs the same, every number with its unit."""
        return f"exoabm run {self.scenario} --seed {self.seed}{self._sets}"

    @property
    def _sets(self) -> str:
        """The options that change the scenario."""
        values = dict(entries(self.load().scenario))
        return "".join(f" --set {key}='{_told(value, values.get(key))}'" for key, value in self.overrides)


def _told(text: str, value: object) -> str:
    """A value as it was set, with the unit of its parameter where it is a bare number."""
    if not isinstance(value, Quantity) or value.parameter.unit == "1":
        return text
    try:
        float(text)
    except ValueError:
        return text
    return f"{text} {value.parameter.unit}"
