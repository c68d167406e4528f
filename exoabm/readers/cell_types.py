"""Types of cells: from a column, columns of 0 and 1, or a second table; mapping of labels to types."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from exoabm.errors import InputError, did_you_mean
from exoabm.readers.file_formats import open_sheet
from exoabm.readers.options import BYSTANDER, NUMBER, Questions, TableOptions, enumerated, quoted, split_unit
from exoabm.readers.recognition import RecognizedTable
from exoabm.readers.table import BLANK, MISSING, Labels, Sheet
from exoabm.readers.table_sources import IDS, PERHAPS_TYPES, TYPES

PLACEHOLDER = "COLUMN"
"""Placeholder for the name of a column."""
NEGATIVE, MULTIPLE = "negative", "multiple"
MOST_FLAGS = 2000
"""Largest number of columns of a table in which types may be columns of 0 and 1."""
MOST_PROPOSED = 4
MOST_LOOKED_AT = 200
"""Largest number of columns of a table that are searched for types."""
MOST_KINDS = 100
"""Largest number of different values of a column of types."""


@dataclass(frozen=True)
class Types:
    """The label of each selected row, its origin, and notes on it."""

    labels: Labels
    findings: str
    notes: tuple[str, ...] = ()


def find_types(
    sheet: Sheet,
    found: RecognizedTable,
    options: TableOptions,
    rows: NDArray[np.int64],
    ids: tuple[str, ...],
    questions: Questions,
    limits: tuple[int, int],
) -> Types:
    """The types of these rows; an unknown column of types becomes a question."""
    if options.types_from is not None:
        return _joined(sheet, options, options.types_from, rows, ids, limits)
    column = _column(sheet, found, options, questions)
    if column is not None:
        labels = sheet.labels(column)
        return _without_blanks(Labels(labels.codes[rows], labels.words), f"type from `{column}`")
    per_type = found.source.one_column_per_type and len(sheet.names) <= MOST_FLAGS
    if per_type and (flags := _flags(sheet, found, ids)):
        return _of_flags(sheet, flags, rows)
    proposals = _proposals(sheet, found, ids)
    tables = [("types_from", "FILE")] if ids else []
    second = ", or a second table with an id and a type" if ids else ""
    questions.ask(
        f"type: no column is known to hold the types of cells; name one{second}",
        *(("cell_type", name) for name in proposals or [PLACEHOLDER]),
        *tables,
    )
    return Types(Labels(np.zeros(len(rows), np.int32), [BLANK]), "type not known")


def _column(sheet: Sheet, found: RecognizedTable, options: TableOptions, questions: Questions) -> str | None:
    """The one column of types."""
    if options.cell_type is not None:
        sheet.index(options.cell_type, "cell_type")
        return options.cell_type
    for name in found.source.types:
        own = found.column(name)
        if own is not None:
            return own
    if sheet.format.startswith("physicell"):
        return sheet.names[3]
    named = [n for n in sheet.names if split_unit(sheet.aliases.get(n, n))[0] in TYPES]
    if len(named) > 1:
        questions.ask(f"type: could be {enumerated(named)}", *(("cell_type", name) for name in named))
    return named[0] if named else None


def _proposals(sheet: Sheet, found: RecognizedTable, ids: tuple[str, ...]) -> list[str]:
    """Columns that may hold types: by their names, else by few different words."""
    named = [n for n in sheet.names if split_unit(sheet.aliases.get(n, n))[0] in PERHAPS_TYPES]
    if named or len(sheet.names) > MOST_LOOKED_AT:
        return named[:MOST_PROPOSED]
    other = {*ids, *(name for axis in found.columns.values() for name in axis), *found.source.images}
    names = [name for name in sheet.names if name and name not in other and name in sheet.single]
    sheet.load(names)
    return [name for name in names if _may_be_types(sheet.column(name))][:MOST_PROPOSED]


def _may_be_types(column: pa.Array) -> bool:
    """Whether a column has a few different words."""
    words = column.dictionary if pa.types.is_dictionary(column.type) else column
    if not (pa.types.is_string(words.type) or pa.types.is_large_string(words.type)):
        return False
    found = [text for text in words.unique().to_pylist() if text]
    return 2 <= len(found) <= MOST_KINDS and not all(NUMBER.fullmatch(text.strip()) for text in found)


def _without_blanks(labels: Labels, findings: str) -> Types:
    """Labels in which blanks are the label ``BLANK``."""
    words = [BLANK if word.lower() in MISSING else word for word in labels.words]
    if BLANK not in words:
        return Types(labels, findings)
    unique = list(dict.fromkeys(words))
    place = {word: i for i, word in enumerate(unique)}
    codes = np.array([place[word] for word in words], np.int32)[labels.codes]
    blank = int((codes == place[BLANK]).sum())
    notes = (f"{blank} cells without a type are {BLANK!r}",) if blank else ()
    return Types(Labels(codes, unique), findings, notes)


def _flags(sheet: Sheet, found: RecognizedTable, ids: tuple[str, ...]) -> list[str]:
    """Columns that hold 0 and 1 alone, but for those that mean something else."""
    other = {*ids, *(name for axis in found.columns.values() for name in axis), *found.source.images}
    names = [name for name in sheet.names if name and name not in other and name in sheet.single]
    sheet.load(names)
    return [name for name in names if _is_flag(sheet.column(name))]


def _is_flag(column: pa.Array) -> bool:
    if pa.types.is_boolean(column.type):
        return True
    if pa.types.is_string(column.type) or pa.types.is_integer(column.type):
        found = column.unique()
        return len(found) <= 2 and {str(value).strip() for value in found.to_pylist()} <= {"0", "1"}
    return False


def _of_flags(sheet: Sheet, names: list[str], rows: NDArray[np.int64]) -> Types:
    """The one column that is 1; several are "multiple", none "negative"."""
    ones = np.column_stack([_ones(sheet.labels(name), rows) for name in names])
    total = ones.sum(axis=1)
    codes = np.where(total == 0, len(names), np.where(total > 1, len(names) + 1, ones.argmax(axis=1)))
    notes = [
        f"{int((total == 0).sum())} cells have none of the types and are {NEGATIVE!r}",
        f"{int((total > 1).sum())} cells have several and are {MULTIPLE!r}",
    ]
    labels = Labels(codes.astype(np.int32), [*names, NEGATIVE, MULTIPLE])
    return Types(labels, f"type by the columns of 0 and 1 ({enumerated(names, 12)})", tuple(notes))


def _ones(labels: Labels, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    fits = np.array([word in ("1", "True") for word in labels.words], bool)
    return np.asarray(fits[labels.codes[rows]])


def _joined(
    sheet: Sheet,
    options: TableOptions,
    path: Path,
    rows: NDArray[np.int64],
    ids: tuple[str, ...],
    limits: tuple[int, int],
) -> Types:
    """Types of a second table, each for the cell of its id; a cell that it leaves out has none."""
    if not ids:
        sheet.fail("types_from needs ids, and no column of this table names its cells")
    second = open_sheet(path, TableOptions(), *limits)
    second.check_size(limits[1])
    key = next((n for n in second.names if n.lower().replace(" ", "_") in IDS), second.names[0])
    rest = [name for name in second.names if name != key]
    column = options.cell_type if options.cell_type in rest else None
    if column is None:
        named = [n for n in rest if split_unit(n)[0] in TYPES | PERHAPS_TYPES]
        candidates = rest if len(rest) == 1 else named
        if options.cell_type is not None or len(candidates) != 1:
            second.fail(f"which column holds the types? give layout.cell_type one of {enumerated(rest)}")
        column = candidates[0]
    labels = _without_blanks(second.labels(column), "").labels
    of_id: dict[str, int] = {}
    for row, name in enumerate(second.ids((key,), np.arange(second.rows))):
        if name in of_id:
            second.fail(f"row {row + 1}: the id {quoted(name)} occurs twice")
        of_id[name] = int(labels.codes[row])
    words = list(labels.words)
    if BLANK not in words:
        words.append(BLANK)
    mine = sheet.ids(ids, rows)
    codes = np.array([of_id.get(name, -1) for name in mine], np.int32)
    left = int((codes < 0).sum())
    if left == len(codes):
        second.fail(
            f"none of its ids, such as {quoted(next(iter(of_id)))}, is in {sheet.name}, where one is "
            f"{quoted(mine[0])}"
        )
    codes[codes < 0] = words.index(BLANK)
    notes = []
    if left:
        notes.append(f"{left} cells are not in {second.name} and are {BLANK!r}")
    if other := len(of_id.keys() - set(mine)):
        notes.append(f"{other} rows of {second.name} are of no cell here")
    return Types(Labels(codes, words), f"type from `{column}` of {second.name}, by `{key}`", tuple(notes))


DERIVED = ": "
MOST_LISTED = 40


def map_labels(
    counts: Mapping[str, int],
    type_map: Mapping[str, str],
    known: Sequence[str],
    unmapped: Literal["error", "bystander"] = "error",
    *,
    class_prefix: bool = False,
) -> dict[str, str]:
    """The cell type of a scenario for each label of a table.

    For every label the first of: the key of `type_map` that equals it; the first key, in their
    order, that matches it with `*` for any characters; a known type of the same name; the policy
    `unmapped`. Where ``A: B`` is a class derived from A, a rule for ``A: B`` has priority.

    Parameters
    ----------
    counts
        Number of cells by label.
    type_map
        Cell type by label; upper and lower case differ, only `*` is special.
    known
        Names of the scenario's cell types.
    unmapped
        How other labels are treated: "error", or the type "bystander".
    derived
        Whether a label ``A: B`` is derived from the class A.

    Raises
    ------
    InputError
        If a value of `type_map` is no known type, or labels are left over: lists each with its
        number of cells.
    """
    if unmapped not in ("error", "bystander"):
        raise InputError(f"unmapped = {unmapped!r}: one of error, bystander")
    for key, target in type_map.items():
        if target not in (*known, BYSTANDER):
            near, there = did_you_mean(target, known), ", ".join(map(repr, known))
            raise InputError(f"type_map {key!r} = {target!r}: no such cell type{near} (there are {there})")
    patterns = [
        (re.compile(".*".join(map(re.escape, key.split("*"))), re.DOTALL), target)
        for key, target in type_map.items()
        if "*" in key
    ]

    def target_of(label: str) -> str | None:
        if label in type_map:
            return type_map[label]
        matched = (target for pattern, target in patterns if pattern.fullmatch(label))
        found = next(matched, label if label in known else None)
        if found is None and class_prefix and DERIVED in label:
            return target_of(label.rpartition(DERIVED)[0])
        return found

    targets = {label: target_of(label) for label in counts}
    left = {label: counts[label] for label, target in targets.items() if target is None}
    if left and unmapped == "error":
        raise InputError(_unknown(left, known))
    return {label: target or BYSTANDER for label, target in targets.items()}


def _unknown(left: Mapping[str, int], known: Sequence[str]) -> str:
    """The labels without a type, with their cells, and a table to paste and fill in."""
    order = sorted(left, key=lambda label: (-left[label], label))
    lines = ["these labels have no cell type:"]
    lines += [f"  {label!r}: {left[label]} cells" for label in order[:MOST_LISTED]]
    if len(order) > MOST_LISTED:
        lines.append(f"  and {len(order) - MOST_LISTED} more labels; is this the column of cell types?")
    lines += [
        (
            f"map each to one of {', '.join(known)}, or to {BYSTANDER}, which is inactive (a * in a label "
            f'matches any characters), or set layout.unmapped = "{BYSTANDER}":'
        ),
        "[layout.type_map]",
        *(f'{toml_key(label)} = "{BYSTANDER}"' for label in order[:MOST_LISTED]),
    ]
    return "\n".join(lines)


def toml_key(label: str) -> str:
    """A label as a quoted key of a TOML table; other than in JSON, DEL is escaped too."""
    return json.dumps(label, ensure_ascii=not label.isprintable()).replace("\x7f", "\\u007f")
