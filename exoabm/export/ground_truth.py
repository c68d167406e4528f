"""Export of the true communication of a run, together with the data of an observer, as AnnData.

====================  ==================================================================================
``obs``               living cells that are seen, ``cell_0`` ... by birth: annotated and true type,
                      vesicles released, taken up, delivered, taken up from the cell itself; true position
``X``, ``layers``     log(1 + counts) of invented genes, and the counts; see
                      ``communication_inference.observation``
``obsm``              ``spatial``, measured positions in um
``obsp``              vesicles from cell to cell, ``true_encountered``, ``true_internalized`` (taken up),
                      ``true_delivered``, in all and of each kind: **rows send, columns receive**, self
                      pairs on the diagonal; ``distance_um`` of pairs within 1.5 x the longest true edge
``uns``               ``ligand_receptor`` (ligand, receptor, pathway, true), ``internalized_by_type``,
                      ``cell_types`` (its order), ``spatial_unit``, ``truth``
====================  ==================================================================================

There is no ``uns["spatial"]``, for which squidpy would take the cells for spots of a grid, and no
``obsp["spatial_distance"]``, which COMMOT would prefer to the positions.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import csr_array

from exoabm.communication_inference.observation import Genes, Observer, Options, genes_of
from exoabm.communication_inference.score import agreement, apart, off_diagonal
from exoabm.errors import InputError
from exoabm.export.anndata import ORIENTATION, anndata_file, pair_matrices, put, put_frame
from exoabm.scenario.state_builder import blueprint, kinds_and_types
from exoabm.tables.readouts import named

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exoabm.export.exported_run import ExportedRun

COUNTS = {"encountered": "encountered", "internalized": "taken_up", "delivered": "delivered"}
"""Names in ``obsp``, after ``true_``, and the columns of edges."""
MARGIN = 1.5
"""Distances are given out to this many times the longest true edge."""


def write(finished: ExportedRun, to: Path, given: Mapping[str, str]) -> None:
    """Write the truth of a run, with the options ``given``; see above.

    Raises
    ------
    InputError
        If donors are not known cell by cell, no cell is seen, or an option is not allowed.
    """
    if not finished.by_cell:
        raise InputError(
            f"{finished.name}: {finished.unknown_donors}, and a truth file needs them cell by cell; run "
            "the scenario again with --engine vesicles or --set transport.provenance=cell"
        )
    options = Options.read(given, int(finished.about["seed"]))
    cells = _Cells(finished, options)
    amounts = cells.amounts()
    genes = cells.genes()
    with anndata_file(to) as root:
        put_frame(root, "obs", cells.names, cells.columns(amounts))
        kind = {"role": _words(genes.roles)}
        put_frame(root, "var", genes.names, kind)
        counts = cells.observer.counts(genes.levels)
        put(root, "X", np.log1p(counts))
        put(root, "layers", {"counts": counts})
        put(root, "obsm", {"spatial": cells.spatial})
        put(root, "obsp", {f"true_{name}": m for name, m in amounts.items()})
        put(root["obsp"], "distance_um", cells.distances(amounts["internalized"]))
        put(root, "uns", {"spatial_unit": "um", **_by_type(cells, amounts["internalized"])})
        put(root["uns"], "truth", cells.about(amounts["internalized"]))
        _put_pairs(root["uns"], genes)


class _Cells:
    """The living cells of a run that are seen."""

    def __init__(self, finished: ExportedRun, options: Options) -> None:
        self._finished, self._options = finished, options
        table, scenario = finished.last_cells, finished.scenario
        position = np.column_stack([np.asarray(table[f"{axis}_um"]) for axis in "xyz"])
        if options.section is not None and finished.fields.dim == 2:
            raise InputError("--set section: this run is one layer of cells; a section is cut from a volume")
        ids = np.asarray(table["cell"], np.int64)
        seen = Observer(options, ids).seen(position[:, 2])
        if not seen.any():
            why = "none of its cells is seen" if len(ids) else "no cell is alive at the end"
            raise InputError(f"{finished.name}: {why}, so there is no truth to write")
        self.of, self.ids, self.position = table.filter(pa.array(seen)), ids[seen], position[seen]
        self.unseen = len(ids) - len(self.ids)
        self.observer = Observer(options, self.ids)
        flat = finished.fields.dim == 2 or options.section is not None
        self.spatial = self.observer.positions(self.position[:, : 2 if flat else 3])
        self.names = [f"cell_{cell}" for cell in self.ids]
        self.model_type = self.of["cell_type"].cast(pa.string()).to_pylist()
        shown = {t.name: t.annotated_as or t.name for t in scenario.cell_type}
        true = [shown.get(name, name) for name in self.model_type]
        self.types = sorted({*true})
        code = np.array([self.types.index(name) for name in true], np.int64)
        self.true_type = code
        self.annotated = self.observer.types(code, len(self.types))
        self._end = [self._place(end) for end in ("donor", "recipient")]
        self.held = finished.held_by(self.of)

    def _place(self, end: str) -> np.ndarray:
        """Rows here of one end of the edges, -1 for what is not seen or no cell."""
        found = pc.index_in(self._finished.edges[end], value_set=pa.array(self.ids))
        return np.asarray(pc.fill_null(found, -1), np.int64)

    def amounts(self) -> dict[str, csr_array]:
        """Vesicles from cell to cell, (n, n), by name: in all, and of each kind."""
        finished = self._finished
        return pair_matrices(finished.edges, self._end, len(self.ids), COUNTS, finished.kinds)

    def columns(self, amounts: dict[str, csr_array]) -> dict[str, Any]:
        """``obs``: types, then vesicles until the end, of senders seen or not, then true positions."""
        kinds = self._finished.kinds
        known = {n: self.of[n] for n in ("source_id", "source_label") if n in self.of.column_names}
        known = {name: column for name, column in known.items() if column.null_count < len(column)}
        return {
            **known,
            "cell_type": _words([self.types[i] for i in self.annotated]),
            "true_type": _words([self.types[i] for i in self.true_type]),
            "model_type": _words(self.model_type),
            "released": self.total("released", kinds),
            "taken_up": self.total("taken_up", kinds),
            "delivered": self.total("delivered", kinds),
            "from_self": amounts["internalized"].diagonal(),
            **{f"{axis}_um": self.position[:, i] for i, axis in enumerate("xyz")},
        }

    def total(self, count: str, kinds: tuple[str, ...]) -> np.ndarray:
        """What cells have of some kinds until the end, (n,)."""
        return np.sum([self.held[named(count, kind)] for kind in kinds], axis=0)

    def genes(self) -> Genes:
        """Genes of release and uptake; a kind without cargo is its own."""
        scenario = self._finished.scenario
        _, types = kinds_and_types(scenario)
        k_a = {t.name: t.uptake_rate for t in types}
        hours = self._finished.fields.times_s[-1] / 3600
        carriers: dict[str, list[str]] = {}
        affinities: dict[str, np.ndarray] = {}
        carried: list[tuple[str, str]] = []
        for k, kind in enumerate(scenario.vesicle):
            machinery = kind.ligand or kind.name
            rate = np.array([k_a[name][k] if name in k_a else 0.0 for name in self.model_type])
            affinities[machinery] = np.maximum(rate, affinities.get(machinery, 0.0))
            for cargo in kind.cargo or [kind.name]:
                carriers.setdefault(cargo, []).append(kind.name)
                if (cargo, machinery) not in carried:
                    carried.append((cargo, machinery))
        rates = {c: self.total("released", tuple(names)) / hours for c, names in carriers.items()}
        return genes_of(rates, affinities, carried, self.observer, self._options)

    def distances(self, internalized: csr_array) -> csr_array:
        """True distances in um of pairs within ``MARGIN`` of the longest true edge, (n, n)."""
        coo, n = internalized.tocoo(), len(self.ids)
        step = blueprint(self._finished.loaded, seed=int(self._finished.about["seed"])).domain.displacement
        true = coo.data >= self._options.least
        ends = (self.position[coo.row[true]], self.position[coo.col[true]])
        longest = np.linalg.norm(step(*ends), axis=1).max(initial=0.0)
        rows, columns, values = [], [], []
        for i in range(n):
            far = np.linalg.norm(step(np.broadcast_to(self.position[i], (n, 3)), self.position), axis=1)
            near = np.flatnonzero((far <= MARGIN * longest) & (np.arange(n) != i))
            rows.append(np.full(len(near), i))
            columns.append(near)
            values.append(far[near])
        at = (np.concatenate(rows), np.concatenate(columns))
        return csr_array((np.concatenate(values), at), shape=(n, n))

    def about(self, internalized: csr_array) -> dict[str, Any]:
        """``uns["truth"]``: provenance, orientation, options, and how much distance alone finds."""
        about, total = self._finished.about, float(internalized.sum())
        names = ("scenario_name", "scenario_sha256", "seed", "hours", "engine", "versions")
        received = self.total("taken_up", self._finished.kinds).sum()
        amount = off_diagonal(internalized.toarray())
        found = agreement(off_diagonal(-apart(self.spatial)), amount, self._options.least)
        chance = {"prevalence": found.prevalence, "auprc_distance": found.auprc}
        return {
            **{name: about[name] for name in names if about[name] is not None},
            "orientation": ORIENTATION,
            **{name: value for name, value in chance.items() if value is not None},
            "self_share": float(internalized.diagonal().sum()) / total if total else 0.0,
            "unseen_cells": self.unseen,
            "unseen_donor_share": float(1 - total / received) if received else 0.0,
            "options": self._options.plain(),
        }


def _by_type(cells: _Cells, internalized: csr_array) -> dict[str, Any]:
    """Vesicles taken up between true types, rows send."""
    member = csr_array(
        (np.ones(len(cells.ids)), (cells.true_type, np.arange(len(cells.ids)))),
        shape=(len(cells.types), len(cells.ids)),
    )
    return {"cell_types": cells.types, "internalized_by_type": (member @ internalized @ member.T).toarray()}


def _put_pairs(uns: Any, genes: Genes) -> None:
    columns = list(zip(*genes.pairs, strict=True))
    ligand, receptor, pathway = (_texts(column) for column in columns[:3])
    index = [str(i) for i in range(len(genes.pairs))]
    true = np.array(columns[3], bool)
    frame = {"ligand": ligand, "receptor": receptor, "pathway": pathway, "true": true}
    put_frame(uns, "ligand_receptor", index, frame)


def _texts(words: Any) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(list(words), pa.string())])


def _words(words: list[str]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(words, pa.string()).dictionary_encode()])
