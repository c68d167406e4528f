"""What an observer sees of a run: cells with errors of segmentation, and invented expression.

    counts[c, g] ~ Poisson(m level[c, g] exp(sigma e - sigma^2 / 2)),    e ~ N(0, 1)

with m the depth, sigma the noise, and level 1 on average over the cells that express gene g. A ligand's
level is proportional to the rate at which the cell released vesicles that carry its cargo, a receptor's to
the uptake rate constant k_a of the cell. A decoy has the levels of a ligand or receptor in another order of
the cells; an unrelated gene has one level in all cells. Each count is then lost with the probability of
dropout.

Every draw is identified by the seed, the birth number of the cell and the gene, so that a cell that is not
seen changes nothing for the others, and files of two levels of noise share their draws.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from exoabm.errors import InputError, did_you_mean
from exoabm.parameters.catalog import CATALOG, Quantity
from exoabm.parameters.units import QuantityError
from exoabm.random_streams import Purpose, Streams

PREFIX = "truth_"
WHOLE = ("decoys", "unrelated", "seed")
MISSED, JITTER, MISTAKEN, MISTAKEN_FOR, ORDER, LEVEL, NOISE, COUNT, LOST = range(9)
"""What is drawn; with the number of the gene or axis it names a draw."""
GENES_AT_MOST = 10**6
LIGAND, RECEPTOR = "ligand", "receptor"
DECOY, UNRELATED = "decoy", "unrelated"


@dataclass(frozen=True)
class Options:
    """Values of the parameters ``truth_*`` in internal units; None where there is no default and no value."""

    noise: float
    depth: float
    dropout: float
    jitter: float
    wrong_types: float
    missing: float
    section: float | None
    section_thickness: float
    decoys: int
    unrelated: int
    least: float
    seed: int

    @classmethod
    def read(cls, given: Mapping[str, str], seed: int) -> Options:
        """The options of a truth file by their names without ``truth_``; ``seed`` is that of the run.

        Raises
        ------
        InputError
            With option, value and range, for a name or value that is not allowed.
        """
        names = [name.removeprefix(PREFIX) for name in CATALOG if name.startswith(PREFIX)]
        for name in given.keys() - set(names):
            raise InputError(f"--set {name}: a truth file has {', '.join(names)}{did_you_mean(name, names)}")
        values: dict[str, Any] = {}
        for name in names:
            parameter = CATALOG[PREFIX + name]
            if name not in given:
                values[name] = None if parameter.default is None else Quantity.default(parameter)
                continue
            try:
                values[name] = Quantity(parameter, given[name])
            except QuantityError as error:
                raise InputError(f"--set {name}={given[name]}: {error}") from None
        for name in WHOLE:
            value = seed if values[name] is None else values[name]
            if value % 1:
                raise InputError(f"--set {name}={given[name]}: must be a whole number")
            values[name] = int(value)
        if "section_thickness" in given and values["section"] is None:
            raise InputError(
                "--set section_thickness needs section, the height z of the middle of the section"
            )
        plain: dict[str, Any] = {n: float(v) if isinstance(v, Quantity) else v for n, v in values.items()}
        return cls(**plain)

    def plain(self) -> dict[str, float | int]:
        """Values by name, without those that are not set."""
        return {name: value for name, value in vars(self).items() if value is not None}


class Observer:
    """Errors of observation of cells.

    Parameters
    ----------
    options : Options
    cells : numpy.ndarray
        Birth numbers, (n,).
    """

    def __init__(self, options: Options, cells: np.ndarray) -> None:
        self._options, self._cells, self._streams = options, cells, Streams(options.seed)

    def _uniform(self, what: int, number: int = 0) -> np.ndarray:
        return self._streams.uniform(Purpose.OBSERVATION, self._cells, what * GENES_AT_MOST + number)

    def _normal(self, what: int, number: int = 0) -> np.ndarray:
        return self._streams.normal(Purpose.OBSERVATION, self._cells, what * GENES_AT_MOST + number)

    def seen(self, z: np.ndarray) -> np.ndarray:
        """Which cells, at heights z (n,) in um, segmentation finds in the section, (n,)."""
        found = self._uniform(MISSED) >= self._options.missing
        if self._options.section is not None:
            found &= np.abs(z - self._options.section) <= self._options.section_thickness / 2
        return found

    def positions(self, position: np.ndarray) -> np.ndarray:
        """Positions (n, axes) in um as they are measured."""
        error = [self._normal(JITTER, axis) for axis in range(position.shape[1])]
        return position + self._options.jitter * np.column_stack(error)

    def types(self, code: np.ndarray, number: int) -> np.ndarray:
        """Annotations, as codes below ``number``, for the types of the cells, (n,).

        Raises
        ------
        InputError
            If types are to be mistaken and there is only one.
        """
        if self._options.wrong_types > 0 and number < 2:
            raise InputError("--set wrong_types: all cells of this run have one type; it cannot be mistaken")
        mistaken = self._uniform(MISTAKEN) < self._options.wrong_types
        other = (code + 1 + np.floor(self._uniform(MISTAKEN_FOR) * (number - 1)).astype(code.dtype)) % number
        return np.where(mistaken, other, code)

    def order(self, number: int) -> np.ndarray:
        """A random order of the cells, (n,)."""
        return np.argsort(self._uniform(ORDER, number), kind="stable")

    def counts(self, levels: np.ndarray) -> np.ndarray:
        """Counts of genes of given levels, both (n, genes); see above."""
        found, depth, sigma = np.empty(levels.shape), self._options.depth, self._options.noise
        scale = float(Quantity.default(CATALOG["truth_depth"])) if math.isinf(depth) else depth
        for gene in range(levels.shape[1]):
            mean = scale * levels[:, gene]
            if sigma > 0:
                mean = mean * np.exp(sigma * self._normal(NOISE, gene) - sigma**2 / 2)
            step = COUNT * GENES_AT_MOST + gene
            if not math.isinf(depth):
                mean = self._streams.poisson(Purpose.OBSERVATION, self._cells, step, mean).astype(float)
            found[:, gene] = np.where(self._uniform(LOST, gene) < self._options.dropout, 0.0, mean)
        return found


@dataclass(frozen=True)
class Genes:
    """Invented genes of cells.

    Attributes
    ----------
    names, roles : list of str
        Upper case letters and digits, since tools take names with ``_`` for complexes; ligand, receptor,
        decoy ligand, decoy receptor or unrelated.
    levels : numpy.ndarray
        (n, genes).
    pairs : list of tuple
        Ligand, receptor, pathway, and whether the pair is true.
    """

    names: list[str]
    roles: list[str]
    levels: np.ndarray
    pairs: list[tuple[str, str, str, bool]]


def genes_of(
    rates: Mapping[str, np.ndarray],
    affinities: Mapping[str, np.ndarray],
    carried: Sequence[tuple[str, str]],
    observer: Observer,
    options: Options,
) -> Genes:
    """Genes of what cells release and take up, their decoys, and unrelated genes.

    Parameters
    ----------
    rates, affinities : mapping
        Of each cargo the rate of release, of each machinery of uptake k_a, of the cells, (n,).
    carried : sequence of (str, str)
        Cargo, and machinery by which vesicles that carry it are taken up.
    """
    names: list[str] = []
    roles: list[str] = []
    levels: list[np.ndarray] = []

    def add(word: str, role: str, level: np.ndarray) -> str:
        word, number = re.sub(r"[^A-Z0-9]", "", word.upper()), 1
        name = word
        while name in names:
            number += 1
            name = f"{word}{number}"
        names.append(name)
        roles.append(role)
        expressed = level[level > 0]
        levels.append(level / expressed.mean() if len(expressed) else level)
        return name

    ligand = {cargo: add(f"{cargo}LIG", LIGAND, rate) for cargo, rate in rates.items()}
    receptor = {word: add(f"{word}REC", RECEPTOR, value) for word, value in affinities.items()}
    pairs = [(ligand[cargo], receptor[word], cargo, True) for cargo, word in carried]
    for number in range(options.decoys):
        for k, (cargo, word) in enumerate(carried):
            at, pathway = 2 * (number * len(carried) + k), f"decoy{number * len(carried) + k + 1}"
            ends = (
                add(f"{pathway}LIG", f"{DECOY} {LIGAND}", rates[cargo][observer.order(at)]),
                add(f"{pathway}REC", f"{DECOY} {RECEPTOR}", affinities[word][observer.order(at + 1)]),
            )
            pairs.append((*ends, pathway, False))
    n = len(next(iter(rates.values()))) if rates else 0
    streams = Streams(options.seed)
    start = LEVEL * GENES_AT_MOST
    normal = streams.normal(Purpose.OBSERVATION, np.arange(options.unrelated), start)
    for number in range(options.unrelated):
        add(f"GENE{number + 1}", UNRELATED, np.ones(n))
        levels[-1] = np.full(n, math.exp(normal[number]))  # log-normal over genes, of median 1
    return Genes(names, roles, np.column_stack(levels), pairs)
