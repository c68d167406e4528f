"""Results of tools that infer communication, as scores of pairs of cells: rows send, columns receive.

=============================  =============================================================================
``.h5ad`` with ``obsp``        a matrix of cells, such as COMMOT's ``commot-DATABASE-total-total``
``.h5ad`` with ``liana_res``   LIANA's table in ``uns``
text or Parquet                columns ``source``, ``target`` and a score; ends are cells or cell types
two lines of types             ``ligrec(...)["means"]`` or ``["pvalues"]`` of squidpy, by ``to_csv``
=============================  =============================================================================

Rows of one pair, such as its ligands and receptors, are summed. Of a column whose name says that low is
better (ranks, p-values) 1 - x is summed. A score between types is given to all pairs of their cells.
"""

from __future__ import annotations

import csv
import gzip
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_array

from exoabm.errors import InputError, did_you_mean, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import h5py

LOW = re.compile(
    r"(^|[_.\s-])(rank|p|q|pvals?|qvals?|p_?values?|q_?values?|p_?adj|fdr|pvalues)($|[_.\s-])", re.I
)
"""Names of columns of which low values are better."""
PREFERRED = ("score", "magnitude_rank")
"""Columns that are taken without being named, in this order."""
SOURCES, TARGETS = ("source", "sender"), ("target", "receiver")
LIGANDS, RECEPTORS = ("ligand_complex", "ligand"), ("receptor_complex", "receptor")
OWN = re.compile(r"true_|distance_um$|spatial_")
"""Matrices of a truth file, or of neighbors, which are no results."""
LIANA = "liana_res"
TOTAL = re.compile(r"commot-.*-total-total$")


@dataclass(frozen=True)
class Choice:
    """What of a result is scored, where there are several.

    Attributes
    ----------
    column : str or None
        Of a table.
    key : str or None
        Of ``obsp``.
    better : str or None
        ``high`` or ``low``; by the name of the column if not given.
    pairs : set of (str, str) or None
        Ligands and receptors; all if not given.
    """

    column: str | None = None
    key: str | None = None
    better: str | None = None
    pairs: set[tuple[str, str]] | None = None


@dataclass(frozen=True)
class Result:
    """Scores of a tool.

    Attributes
    ----------
    matrix : numpy.ndarray
        (n, n), higher is better; -inf where the result has no score.
    description : str
        What was read, and how.
    by_type : numpy.ndarray or None
        (types, types), if the scores are between types.
    notes : list of str
    """

    matrix: np.ndarray
    description: str
    by_type: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Long:
    """A table: ends, values, and what they are called."""

    source: list[str]
    target: list[str]
    value: np.ndarray
    name: str
    notes: list[str] = field(default_factory=list)


def read_result(
    path: Path, cells: Sequence[str], types: Sequence[str], of: np.ndarray, choice: Choice
) -> Result:
    """The result in a file, for cells of given names and types.

    Parameters
    ----------
    cells, types : sequence of str
    of : numpy.ndarray
        Index of the type of each cell, (n,).

    Raises
    ------
    InputError
        If the file holds no result, or several without a choice among them, or names that are no cells and
        no types.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    found = _of_h5ad(path, cells, choice) if path.suffix == ".h5ad" else _long_table(path, choice)
    if isinstance(found, Result):
        return found
    return _placed(path, found, cells, types, of, choice)


def _of_h5ad(path: Path, cells: Sequence[str], choice: Choice) -> Result | _Long:
    with opened(path) as root:
        keys = sorted(root["obsp"]) if "obsp" in root else []
        key = choice.key
        if key is None:
            free = [each for each in keys if not OWN.match(each)]
            totals = [each for each in free if TOTAL.match(each)]
            if len(totals or free) == 1:
                key = (totals or free)[0]
            elif not free and "uns" in root and LIANA in root["uns"]:
                frame = root["uns"][LIANA]
                names = [text(name) for name in frame.attrs["column-order"]]
                return _from_columns(path, names, lambda name: column_of(frame[name]), choice)
            else:
                what = (
                    f"several matrices ({', '.join(free)})" if free else f"no result in obsp or uns/{LIANA}"
                )
                there = f"; obsp has {', '.join(keys)}" if keys and not free else ""
                raise InputError(f"{path}: {what}{there}; name one by --key")
        if key not in keys:
            raise InputError(
                f"{path}: obsp has no {key!r}{did_you_mean(key, keys)}; it has {', '.join(keys)}"
            )
        if choice.pairs is not None or choice.column is not None:
            raise InputError(
                "--column and --true-genes go with tables; a matrix has neither columns nor genes"
            )
        matrix = matrix_of(root["obsp"][key])
        names = [str(name) for name in column_of(root["obs"][text(root["obs"].attrs["_index"])])]
    at = {name: i for i, name in enumerate(names)}
    if unknown := [name for name in names if name not in set(cells)]:
        raise InputError(
            f"{path}: its cell {visible(unknown[0])} is not in the truth{did_you_mean(unknown[0], cells)}"
        )
    here = [i for i, name in enumerate(cells) if name in at]
    rows = [at[cells[i]] for i in here]
    full = np.full((len(cells), len(cells)), -np.inf)
    full[np.ix_(here, here)] = matrix[np.ix_(rows, rows)]
    if not np.isfinite(matrix).all():
        raise InputError(f"{path}: obsp/{key} has values that are not finite numbers")
    low = choice.better == "low"
    lacks = len(cells) - len(here)
    notes = [f"{lacks:,} of {len(cells):,} cells are not in the result; their pairs score lowest"] * (
        lacks > 0
    )
    known = np.isfinite(full)
    if low:
        full[known] = -full[known]
    return Result(full, f"obsp/{key}, {'low' if low else 'high'} is better", None, notes)


def _long_table(path: Path, choice: Choice) -> _Long:
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(path)
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{path}: cannot be read as Parquet: {visible(str(error))}") from None
        return _from_columns(path, table.column_names, lambda name: _plain(table[name]), choice)
    unpack: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    try:
        with unpack(path, "rt", encoding="utf-8-sig", newline="") as file:
            first, _, third = (file.readline() for _ in range(3))
    except (OSError, UnicodeDecodeError, EOFError) as error:
        raise InputError(f"{path}: cannot be read as text: {visible(str(error))}") from None
    separator = max(",\t;", key=first.count)
    if third.split(separator)[:2] == [SOURCES[0], TARGETS[0]]:
        return _of_squidpy(path, unpack, separator, choice)
    import pyarrow.csv

    try:
        options = pyarrow.csv.ParseOptions(delimiter=separator)
        table = pyarrow.csv.read_csv(path, parse_options=options)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: cannot be read as a table: {visible(str(error))}") from None
    return _from_columns(path, table.column_names, lambda name: _plain(table[name]), choice)


def _from_columns(path: Path, names: list[str], column: Callable[[str], np.ndarray], choice: Choice) -> _Long:
    """Ends and values of a table with a row for each pair, or for each pair, ligand and receptor."""

    def one(words: tuple[str, ...], what: str) -> str:
        found = next((word for word in words if word in names), None)
        if found is None:
            raise InputError(
                f"{path}: no column {words[0]!r} for the {what}; it has {', '.join(map(visible, names))}"
            )
        return found

    source, target = one(SOURCES, "sending cell or type"), one(TARGETS, "receiving cell or type")
    ends = {source, target, *LIGANDS, *RECEPTORS}
    numbers = [n for n in names if n not in ends and column(n).dtype.kind in "iuf" and n]
    if not len(column(source)):
        raise InputError(f"{path}: has no rows below its header")
    alone = numbers if len(numbers) == 1 else []
    likely = [n for n in PREFERRED if n in numbers] + alone + [n for n in PREFERRED if n in names]
    chosen = choice.column or next(iter(likely), None)
    if chosen is None:
        there = f"several columns of numbers ({', '.join(numbers)})" if numbers else "no column of numbers"
        raise InputError(f"{path}: {there}; name the score by --column")
    if chosen not in names or chosen in ends:
        raise InputError(f"{path}: no column of numbers {chosen!r}{did_you_mean(chosen, numbers)}")
    value = _numbers(path, chosen, column(chosen))
    keep = np.ones(len(value), bool)
    if choice.pairs is not None:
        genes = [column(one(LIGANDS, "ligand")), column(one(RECEPTORS, "receptor"))]
        keep = np.array([pair in choice.pairs for pair in zip(*map(_words, genes), strict=True)], bool)
    words = [np.array(_words(column(end)), dtype=object)[keep].tolist() for end in (source, target)]
    apart = [_words(column(n)) for n in names if n in ends or column(n).dtype.kind not in "iuf"]
    return _Long(words[0], words[1], value[keep], chosen, _repeats(zip(*apart, strict=True), value, keep))


def _numbers(path: Path, name: str, column: np.ndarray) -> np.ndarray:
    """Values of a column (rows,), NaN where there is none; one that is not a finite number is refused."""
    value = np.full(len(column), np.nan)
    for row, word in enumerate(column.tolist()):
        if word is None:
            continue
        try:
            value[row] = float(word)
        except (TypeError, ValueError):
            value[row] = np.inf
        if np.isinf(value[row]):
            raise InputError(
                f"{path}: row {row + 1}, column {name!r} is {visible(str(word))!r}, not a finite number"
            )
    return value


def _repeats(rows: Iterable[tuple[str, ...]], value: np.ndarray, keep: np.ndarray) -> list[str]:
    """A note on rows of which no name differs, such as a pair that has two scores."""
    first: dict[tuple[str, ...], int] = {}
    again = [
        (first[names], row)
        for row, names in enumerate(rows)
        if keep[row] and first.setdefault(names, row) != row
    ]
    if not again:
        return []
    one, two = again[0]
    such = f"row {two + 1} with the score {value[two]:g} to row {one + 1} with {value[one]:g}"
    head = "1 row repeats" if len(again) == 1 else f"{len(again):,} rows repeat"
    return [f"{head} the names of another row, to which the score is added, such as {such}"]


def _of_squidpy(path: Path, unpack: Callable[..., Any], separator: str, choice: Choice) -> _Long:
    """Squidpy's table: a column for each pair of types, a row for each ligand and receptor, headed apart."""
    with unpack(path, "rt", encoding="utf-8-sig", newline="") as file:
        rows = [row for row in csv.reader(file, delimiter=separator) if row]
    try:
        ends = list(zip(rows[0][2:], rows[1][2:], strict=True))
        body = rows[3:]
        if choice.pairs is not None:
            body = [row for row in body if (row[0], row[1]) in choice.pairs]
        value = np.array([[float(word or "nan") for word in row[2:]] for row in body]).reshape(-1, len(ends))
    except (ValueError, IndexError) as error:
        raise InputError(f"{path}: cannot be read as a table of squidpy: {error}") from None
    source, target = ([end[i] for end in ends] * len(value) for i in (0, 1))
    if len(endless := np.argwhere(np.isinf(value))):
        row, pair = endless[0]
        raise InputError(
            f"{path}: row {row + 1}, {' to '.join(ends[pair])} is {value[row, pair]}, not a finite number"
        )
    name = "pvalues" if "pval" in path.name.lower() else "means"
    return _Long(source, target, value.ravel(), name)


def _placed(
    path: Path, long: _Long, cells: Sequence[str], types: Sequence[str], of: np.ndarray, choice: Choice
) -> Result:
    """Scores of rows as a matrix of cells, or of types and by these of cells."""
    known = np.isfinite(long.value)
    used = {*long.source, *long.target}
    among = types if used <= {*types} and not used <= {*cells} else cells
    if unknown := used - {*among}:
        word = min(unknown)
        near = did_you_mean(word, [*types, *cells])
        raise InputError(f"{path}: {visible(word)!r} is no cell and no cell type of the truth{near}")
    low = choice.better == "low" or (choice.better is None and bool(LOW.search(long.name)))
    at, n = {name: i for i, name in enumerate(among)}, len(among)
    ends = np.array([[at[a], at[b]] for a, b in zip(long.source, long.target, strict=True)], np.int64)
    flat = np.ravel_multi_index(tuple(ends.reshape(-1, 2)[known].T), (n, n))
    value = long.value[known]
    if not len(value):
        raise InputError(f"{path}: no row has a number in {long.name}")
    rows = np.bincount(flat, minlength=n * n)
    if low and len(value) and (value.min() < 0 or value.max() > 1) and rows.max() > 1:
        raise InputError(
            f"{path}: {long.name} has several rows for a pair, and low values beyond 0 to 1 have no sum; "
            "write one row for each pair"
        )
    matrix = np.bincount(flat, 1 - value if low else value, n * n)
    matrix[rows == 0] = -np.inf
    matrix = matrix.reshape(n, n)
    notes = [*long.notes]
    if lost := int((~known).sum()):
        notes.append(f"{lost:,} of {len(known):,} rows have no number and are left out")
    if lacks := int((rows == 0).sum()):
        notes.append(f"{lacks:,} of {n * n:,} pairs are not in the result and score lowest")
    most = f", up to {rows.max()} rows of a pair summed" if rows.max() > 1 else ""
    description = f"{long.name}, {'low' if low else 'high'} is better{most}"
    if among is types:
        return Result(matrix[np.ix_(of, of)], f"{description}; between {n} types", matrix, notes)
    return Result(matrix, description, None, notes)


def _plain(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(column.to_numpy(zero_copy_only=False))


def _words(values: np.ndarray) -> list[str]:
    return [text(value) for value in values.tolist()]


def text(value: Any) -> str:
    """Text that may be stored as bytes."""
    return value.decode() if isinstance(value, bytes) else str(value)


def opened(path: Path) -> h5py.File:
    """An HDF5 file.

    Raises
    ------
    InputError
        If there is none.
    """
    import h5py

    try:
        return h5py.File(path, "r")
    except OSError as error:
        why = "there is no such file" if not path.exists() else "it is not HDF5"
        raise InputError(f"{path}: cannot be read: {why}") from error


def column_of(node: Any) -> np.ndarray:
    """A column of an AnnData table; text as objects."""
    if hasattr(node, "shape"):
        values = node[()]
        return np.array([text(v) for v in values], dtype=object) if values.dtype.kind in "OS" else values
    if "codes" in node:
        words = [*column_of(node["categories"]), None]
        return np.array(words, dtype=object)[np.asarray(node["codes"])]
    return column_of(node["values"])


def matrix_of(node: Any) -> np.ndarray:
    """A matrix of AnnData, dense or sparse by rows or columns, as an array (n, n)."""
    if hasattr(node, "shape"):
        return np.asarray(node[()], float)
    rows, columns = (int(size) for size in node.attrs["shape"])
    parts = tuple(np.asarray(node[name]) for name in ("data", "indices", "indptr"))
    by_columns = text(node.attrs["encoding-type"]).startswith("csc")
    dense = csr_array(parts, shape=(columns, rows) if by_columns else (rows, columns)).toarray().astype(float)
    return dense.T if by_columns else dense
