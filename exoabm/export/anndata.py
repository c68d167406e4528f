"""Export to AnnData: cells, their uptake and deliveries, and vesicles between cells.

====================  ==================================================================================
``obs``               every cell that ever was, ``cell_0`` ... by birth: type, position, its id and label in
                      the layout's table, its life; of each kind vesicles met, taken up, delivered, ...
``X``, ``var``        copies of each cargo that were delivered to the cytosol
``layers``            vesicles of the kinds that carry it, taken up and delivered; copies held at the end
``obsm``              ``spatial`` in um; of each kind what a cell took up, by the type of its donor
``obsp``              vesicles from cell to cell, of each kind and in all: sparse, **rows send, columns
                      receive**, self pairs on the diagonal; where donors are known cell by cell
``uns["exoabm"]``     scenario, its hash, seed, engine, versions, units, orientation
====================  ==================================================================================

Counts are until the end of the run. What is known of the living alone is missing for the dead.

In HDF5, after https://anndata.readthedocs.io/en/stable/fileformat-prose.html; anndata 0.10 and later read it.
"""

from __future__ import annotations

import contextlib
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import csr_array

from exoabm.export.type_exchange import sender_names
from exoabm.tables.declarations import BETWEEN_CELLS
from exoabm.tables.readouts import named

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import h5py

    from exoabm.export.exported_run import ExportedRun

INDEX = "_index"


@contextlib.contextmanager
def anndata_file(to: Path) -> Iterator[h5py.File]:
    """A file of AnnData to put its parts into; it is in memory first, since HDF5 crashes on a full disk."""
    import h5py

    file = BytesIO()
    with h5py.File(file, "w") as root:
        describe(root, "anndata", "0.1.0")
        yield root
        for name in ("varm", "varp"):
            put(root, name, {})
    to.write_bytes(file.getbuffer())


def pair_matrices(
    edges: pa.Table, ends: Sequence[np.ndarray], n: int, counts: Mapping[str, str], kinds: Sequence[str]
) -> dict[str, csr_array]:
    """Numbers by donor and recipient, (n, n), of all kinds and of each.

    Parameters
    ----------
    edges : pyarrow.Table
    ends : sequence of (edges,) int64
        Rows of donor and recipient; -1 where they are not among the n cells.
    counts : mapping
        Columns of edges by the names that they get.
    kinds : sequence of str
    """
    kind = np.array(edges["vesicle_kind"].cast(pa.string()).to_pylist(), dtype=object)
    known = (ends[0] >= 0) & (ends[1] >= 0)
    found = {}
    for name, column in counts.items():
        values = np.asarray(edges[column], float)
        for word, mine in ((name, True), *((named(name, k), kind == k) for k in kinds)):
            rows = known & (values > 0) & mine
            matrix = csr_array((values[rows], tuple(end[rows] for end in ends)), shape=(n, n))
            matrix.sum_duplicates()
            found[word] = matrix
    return found


def describe(node: Any, kind: str, version: str) -> None:
    """Add the description of an element."""
    node.attrs["encoding-type"], node.attrs["encoding-version"] = kind, version


def put(parent: h5py.Group, name: str, value: Any) -> None:
    """Write an element: a dict, a column of Arrow, an array, texts, a sparse matrix, a text or a number."""
    if isinstance(value, dict):
        group = parent.create_group(name)
        describe(group, "dict", "0.1.0")
        for key, each in value.items():
            put(group, key, each)
    elif isinstance(value, csr_array):
        _sparse(parent.create_group(name), value)
    elif isinstance(value, pa.ChunkedArray):
        _column(parent, name, value)
    elif isinstance(value, str):
        parent.create_dataset(name, data=value, dtype=_text())
        describe(parent[name], "string", "0.2.0")
    elif isinstance(value, list):
        parent.create_dataset(name, data=np.array(value, dtype=object), dtype=_text())
        describe(parent[name], "string-array", "0.2.0")
    elif np.ndim(value) == 0:
        parent.create_dataset(name, data=value)
        describe(parent[name], "numeric-scalar", "0.2.0")
    else:
        parent.create_dataset(name, data=value)
        describe(parent[name], "array", "0.2.0")


def put_frame(parent: h5py.Group, name: str, index: Sequence[str], columns: Mapping[str, Any]) -> None:
    """Write a table with names of its rows."""
    group = parent.create_group(name)
    describe(group, "dataframe", "0.2.0")
    group.attrs["_index"] = INDEX
    group.attrs.create("column-order", np.array(list(columns), dtype=object), dtype=_text())
    put(group, INDEX, list(index))
    for key, column in columns.items():
        put(group, key, column)


def _column(parent: h5py.Group, name: str, column: pa.ChunkedArray) -> None:
    """A column of Arrow; text of which some is missing, and words of few kinds, as codes and categories."""
    text = pa.types.is_string(column.type)
    if pa.types.is_dictionary(column.type) or (text and column.null_count):
        _categorical(parent.create_group(name), column)
    elif text:
        put(parent, name, column.to_pylist())
    elif pa.types.is_integer(column.type) and column.null_count:
        group = parent.create_group(name)
        describe(group, "nullable-integer", "0.1.0")
        put(group, "values", np.asarray(pc.fill_null(column, 0)))
        put(group, "mask", np.asarray(pc.is_null(column)))
    else:
        put(parent, name, np.asarray(column))  # a missing number is NaN


def _categorical(group: h5py.Group, column: pa.ChunkedArray) -> None:
    """Codes, -1 for none, and categories in the order of the alphabet, of which each occurs."""
    texts = column.cast(pa.string())
    words = sorted(word for word in pc.unique(texts).to_pylist() if word is not None)
    codes = pc.fill_null(pc.index_in(texts, pa.array(words, pa.string())), -1)
    describe(group, "categorical", "0.2.0")
    group.attrs["ordered"] = False
    put(group, "codes", np.asarray(codes, np.int32))
    put(group, "categories", words)


def _sparse(group: h5py.Group, matrix: csr_array) -> None:
    describe(group, "csr_matrix", "0.1.0")
    group.attrs["shape"] = np.array(matrix.shape, np.int64)
    for name in ("data", "indices", "indptr"):
        group.create_dataset(name, data=getattr(matrix, name))


def _text() -> Any:
    import h5py

    return h5py.string_dtype()


PAIRED = ("encountered", "taken_up", "delivered")
"""What pairs contain; ``taken_up`` is what was taken up until the end."""
UNITS = {
    "X": "copies of the cargo that reached the cytosol",
    "layers/taken_up": "vesicles of the kinds that carry the cargo, taken up until the end",
    "layers/delivered": "of these, vesicles that opened to the cytosol",
    "layers/copies": "copies of the cargo in the cell at the end",
    "obsm/spatial": "um",
    "obsm/taken_up_from[*]": "vesicles taken up until the end, by the type of the donor; any: not recorded",
    "obsp": "vesicles until the end",
}
ORIENTATION = "rows send, columns receive: obsp[...][i, j] went from cell i to cell j"
UNKNOWN_DONORS = "so there is no obsp; runs with transport.provenance = 'cell' or --engine vesicles have it"


def write(finished: ExportedRun, to: Path) -> None:
    """Write a run as AnnData; see above."""
    cells = finished.all_cells
    met = _Contacts(finished, cells["cell"])
    index = [f"cell_{cell}" for cell in cells["cell"].to_pylist()]
    with anndata_file(to) as root:
        columns = {name: cells[name] for name in cells.column_names}
        held = finished.held_by(cells)
        own = {n: v for n, v in held.items() if n.startswith(("released[", "endosomal["))}
        put_frame(root, "obs", index, columns | own | met.per_cell())
        cargos = [cargo.name for cargo in finished.scenario.cargo]
        put_frame(root, "var", cargos, {})
        put(root, "X", _matrix([met.copies(name) for name in cargos], len(index)))
        put(root, "layers", _layers(finished, held, met, cargos))
        axes = "xyz"[: finished.fields.dim]
        put(root, "obsm", {"spatial": np.column_stack([np.asarray(cells[f"{a}_um"]) for a in axes])})
        for kind in finished.kinds:
            put_frame(root["obsm"], named("taken_up_from", kind), index, met.by_donor_type(kind))
        put(root, "obsp", met.pairs() if finished.by_cell else {})
        put(root, "uns", {"spatial_unit": "um", "exoabm": _about(finished)})


class _Contacts:
    """Rows of ``edges.parquet``, with the places of both cells in a list of cells."""

    def __init__(self, finished: ExportedRun, cells: pa.ChunkedArray) -> None:
        self._edges, self._n, self._kinds = finished.edges, len(cells), finished.kinds
        self._donor, self._recipient = (
            np.asarray(pc.fill_null(pc.index_in(self._edges[end], cells.combine_chunks()), -1))
            for end in ("donor", "recipient")
        )
        self._kind = np.array(self._edges["vesicle_kind"].cast(pa.string()).to_pylist(), dtype=object)
        self._sender = np.array(
            sender_names(self._edges.select(["donor_type", "sender"]).to_pydict()), dtype=object
        )
        self._cargo, self._cells = finished.need("edges_by_cargo"), cells.combine_chunks()

    def received(self, count: str, mine: np.ndarray | None = None) -> np.ndarray:
        """What each cell received, (n,), of some rows."""
        rows = slice(None) if mine is None else mine
        return np.bincount(self._recipient[rows], np.asarray(self._edges[count])[rows], self._n)

    def copies(self, cargo: str) -> np.ndarray:
        """Copies of a cargo delivered to each cell, (n,); 0 of one that no vesicle carries."""
        rows = self._cargo.filter(pc.equal(self._cargo["cargo"].cast(pa.string()), cargo))
        at = np.asarray(pc.index_in(rows["recipient"].combine_chunks(), value_set=self._cells), np.int64)
        return np.bincount(at, np.asarray(rows["copies_delivered"]), self._n)

    def of_kinds(self, count: str, kinds: tuple[str, ...]) -> np.ndarray:
        """Numbers received by each cell of given kinds, (n,)."""
        return self.received(count, np.isin(self._kind, kinds))

    def per_cell(self) -> dict[str, np.ndarray]:
        """Encounters of each cell, by kind."""
        return {
            named(count, kind): self.of_kinds(count, (kind,))
            for kind in self._kinds
            for count in BETWEEN_CELLS
        }

    def by_donor_type(self, kind: str) -> dict[str, np.ndarray]:
        """Uptake of a kind by each cell, one column per donor type, dose and reservoir."""
        return {
            str(name): self.received("taken_up", (self._kind == kind) & (self._sender == name))
            for name in np.unique(self._sender.astype(str))
        }

    def pairs(self) -> dict[str, csr_array]:
        """Vesicles from cell to cell, (n, n), rows send."""
        ends = (self._donor, self._recipient)
        return pair_matrices(self._edges, ends, self._n, {name: name for name in PAIRED}, self._kinds)


def _layers(
    finished: ExportedRun, held: dict[str, np.ndarray], met: _Contacts, cargos: list[str]
) -> dict[str, np.ndarray]:
    """Beside the copies delivered: vesicles that carry each cargo, and copies held."""
    carriers = [tuple(k.name for k in finished.scenario.vesicle if name in k.cargo) for name in cargos]
    n = len(finished.all_cells)
    layers = {
        count: _matrix([met.of_kinds(count, kinds) for kinds in carriers], n)
        for count in ("taken_up", "delivered")
    }
    none = np.full(n, np.nan)  # waste has no copies
    return layers | {"copies": _matrix([held.get(named("copies", name), none) for name in cargos], n)}


def _matrix(columns: list[np.ndarray], n: int) -> np.ndarray:
    return np.column_stack(columns) if columns else np.zeros((n, 0))


def _about(finished: ExportedRun) -> dict[str, Any]:
    """Provenance, and meaning of the numbers."""
    about = finished.about
    names = ("scenario_name", "scenario_sha256", "table_sha256", "seed", "hours", "engine", "versions")
    return {name: about[name] for name in names if about[name] is not None} | {
        "resolution": finished.resolution,
        "orientation": ORIENTATION if finished.by_cell else f"{finished.unknown_donors}, {UNKNOWN_DONORS}",
        "units": {name.replace("/", " "): unit for name, unit in UNITS.items()},
    }
