"""Scenarios: loaded, built and changed in Python, with the checks of the command line."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar, runtime_checkable

from exoabm.api.progress import show_warnings
from exoabm.errors import ANOTHER_PLACE, ON_COMMAND_LINE, InputError, ScenarioError
from exoabm.readers.options import AmbiguousTable, python_argument
from exoabm.scenario.loader import IN_MEMORY, LoadedScenario, load, parse, shipped
from exoabm.scenario.overrides import Changes, check_no_option, tables_of, texts_of


@runtime_checkable
class Frame(Protocol):
    """A table in memory: of pandas, polars, pyarrow, or any other that Arrow can read."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The Arrow PyCapsule interface."""


Given = ParamSpec("Given")
Result = TypeVar("Result")
Source = str | Path | Frame | Mapping[str, Any] | LoadedScenario
"""What a scenario is made of: see ``scenario``."""
CELLS = "table of cells"
UNNAMED = "__index_level_"
"""Beginning of the names that Arrow gives to parts of an index without a name."""
OPTION = re.compile(r"`[^`]*`|(?<!\S)--(?!set\b)([a-z]+(?:-[a-z]+)*)\b")
"""A command, or an option of the command line, in the text of an error."""
BUILT = "built-in-python"
"""Name of a scenario that is no file."""
_KEPT = contextlib.ExitStack()
"""Files of tables in memory of which scenarios were made; removed when the process ends."""
atexit.register(_KEPT.close)


def scenario(source: Source = "signaling", changes: Changes | None = None, /, **more: Any) -> LoadedScenario:
    """A checked scenario, with values changed.

    Parameters
    ----------
    source
        The name of an included scenario; the path of a TOML file, of a table of cells, or of a run folder;
        a DataFrame with a row per cell; a nested mapping as in a TOML file; or a scenario.
    changes : mapping, optional
        Values by dotted key, as of ``--set``: texts with a unit (``"100 / h"``), numbers in the unit of the
        parameter, pairs ``(100, "1/h")``, quantities of pint.
    more
        The same, with ``__`` in place of each dot.

    Raises
    ------
    ScenarioError, InputError
        Naming file, key, value and what is allowed.

    Examples
    --------
    >>> import exoabm as xo
    >>> faster = {"cell_type.donor.release_rate": (2, "1/min")}
    >>> small = xo.scenario("two_cells", faster, clock__duration="2 h")
    >>> small
    <scenario two_cells: Two cells>
    >>> small.scenario.cell_type[0].release_rate
    <release_rate 120 1/h>
    >>> xo.scenario("two_cells", {"cell_type.donor.release_rat": 3})
    Traceback (most recent call last):
        ...
    exoabm.errors.ScenarioError: two_cells:
      cell_type.donor.release_rat: unknown key (did you mean 'release_rate'?)
    """
    given = texts_of(changes, more)
    for key in given:
        check_no_option(key, "the key")
    if isinstance(source, LoadedScenario):
        return source.changed(given) if given else source
    if isinstance(source, Frame):
        with words_of_python(source):
            return load(kept_file_of(source, CELLS), given)
    if isinstance(source, Mapping):
        import tomli_w

        text = tomli_w.dumps(tables_of(source)).encode()
        return parse(text, name=BUILT, folder=Path.cwd(), overrides=given)
    return load(source if isinstance(source, str) else kept_file_of(source, "scenario"), given)


def runnable(source: Source, changes: Changes | None) -> LoadedScenario:
    """As ``scenario``, for runs: a grid too large for this machine is refused."""
    from exoabm.scenario.resource_estimate import check_grid_memory

    loaded = scenario(source, changes)
    check_grid_memory(loaded.scenario)
    return loaded


def list_scenarios() -> dict[str, str]:
    """The included scenarios and the question of each.

    Examples
    --------
    >>> import exoabm as xo
    >>> "signaling" in xo.list_scenarios()
    True
    """
    return {name: load(name).scenario.info.question for name in shipped()}


def scenario_from_table(
    table: str | Path | Frame, changes: Changes | None = None, /, **more: Any
) -> LoadedScenario:
    r"""A scenario for a table of cells, with one cell type per label, as ``exoabm new`` writes.

    A label in the type map of ``tissue`` has the values of the type that it denotes there; others have those
    of its first type. All of them are assumptions, to be replaced by measured values: change them by the
    names of the cell types, or ``save`` the scenario and edit it. The step is that of ``tissue``, or the
    shorter one that suffices for the uptake by these cells.

    Parameters
    ----------
    table : str, Path or DataFrame
        Of QuPath, Xenium, MERSCOPE, a ``.h5ad``, or any with columns x, y and a type. A DataFrame of pandas
        or polars has the same columns and is checked in the same way; an index with a name, or of texts, is
        a column, too.
    changes, more
        As for ``scenario``; of ``layout`` what the table lacks, such as ``layout__unit="0.65 um"``; others
        apply to the scenario that was made.

    Raises
    ------
    InputError
        If the table leaves something open, naming the key that says it.

    Examples
    --------
    >>> import exoabm as xo
    >>> from pathlib import Path
    >>> rows = ["x_um,y_um,cell_type", "10,10,T cell", "60,40,tumor", "30,80,tumor"]
    >>> _ = Path("cells.csv").write_text("\n".join(rows))
    >>> mine = xo.scenario_from_table("cells.csv", cell_type__T_cell__release_rate="50 / h")
    >>> [each.name for each in mine.scenario.cell_type]
    ['tumor', 'T_cell']
    >>> import pandas as pd
    >>> again = xo.scenario_from_table(pd.read_csv("cells.csv"), cell_type__T_cell__release_rate="50 / h")
    >>> again.scenario.cell_type == mine.scenario.cell_type
    True
    """
    from exoabm.scenario.scenario_from_table import scenario_of_labels

    given = texts_of(changes, more)
    layout = {key: text for key, text in given.items() if key.startswith("layout.")}
    path = kept_file_of(table, CELLS)
    with words_of_python(table):
        draft = scenario_of_labels(path, layout, path.resolve().parent)
    show_warnings(draft.warnings, None)
    rest = {key: value for key, value in given.items() if key not in layout}
    return parse(draft.text, name=f"built-from-{path.stem}", folder=path.resolve().parent, overrides=rest)


def in_python(text: str) -> str:
    """A sentence that names options of the command line, with the arguments of Python instead."""
    text = text.replace(ANOTHER_PLACE, "choose another place, or pass overwrite=True")
    return OPTION.sub(lambda m: m[1].replace("-", "_") if m[1] else m[0], text)


def speaks_python(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """A function whose errors name its arguments; on the command line, which calls it, too, its options."""

    @wraps(function)
    def speaking(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        try:
            return function(*args, **kwargs)
        except InputError as error:
            if not ON_COMMAND_LINE.get() and error.args and not isinstance(error, ScenarioError):
                error.args = (in_python(str(error)), *error.args[1:])
            raise

    return speaking


@contextlib.contextmanager
def words_of_python(table: Source) -> Iterator[None]:
    """Errors name arguments of Python, ``layout__unit='0.5 um'``, and no file of a table in memory."""
    try:
        yield
    except InputError as error:
        text = error.stating(python_argument) if isinstance(error, AmbiguousTable) else in_python(str(error))
        if isinstance(table, Frame):
            name = type(table).__name__
            text = re.sub(rf"\S*\b{name}\.parquet", name, text)
        error.args = (text, *error.args[1:])
        raise


@contextlib.contextmanager
def file_of(table: Frame | str | Path, what: str) -> Iterator[Path]:
    """The path that was given, or a Parquet file of a table in memory, named by its type and then removed.

    Raises
    ------
    InputError
        If it is neither; if a column holds values of several types, or a name denotes several columns.
    """
    if isinstance(table, str | os.PathLike):
        yield Path(table)
        return
    if not isinstance(table, Frame):
        first = "; call its .collect() first" if hasattr(table, "collect") else ""
        raise InputError(f"a {type(table).__name__} is no {what}: give a path or a DataFrame{first}")
    import pyarrow as pa
    from pyarrow import parquet

    named = [name for name in getattr(getattr(table, "index", None), "names", ()) if name is not None]
    with tempfile.TemporaryDirectory(prefix=IN_MEMORY) as home:
        path = Path(home) / f"{type(table).__name__}.parquet"
        try:
            frame = table.reset_index(named) if named else table  # type: ignore[attr-defined]
            found = pa.table(_of_plain_columns(frame))
            columns = [name for name in found.column_names if not name.startswith(UNNAMED)]
            index = [field for field in found.schema if field.name.startswith(UNNAMED)]
            if what == CELLS and any(_of_texts(field.type) for field in index):
                if len(index) > 1:
                    raise ValueError(f"its index has {len(index)} levels without a name: name them")
                columns.append(index[0].name)  # names of cells, as in obs of AnnData
            parquet.write_table(found.select(columns).replace_schema_metadata(), path)
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise InputError(f"{type(table).__name__}: no {what}: {error}") from None
        yield path


def _of_plain_columns(frame: Any) -> Any:
    """A frame of pandas with sparse columns as full ones and intervals as texts, which Arrow cannot store."""
    if not hasattr(frame, "dtypes") or not hasattr(frame, "assign"):
        return frame
    changed = {}
    for place, dtype in enumerate(frame.dtypes):
        column = frame.iloc[:, place]
        if str(dtype).startswith("Sparse"):
            changed[frame.columns[place]] = column.sparse.to_dense()
        elif str(getattr(getattr(dtype, "categories", None), "dtype", dtype)).startswith("interval"):
            changed[frame.columns[place]] = column.astype("category").cat.rename_categories(str)
    return frame.assign(**changed) if changed else frame


def _of_texts(kind: Any) -> bool:
    """Whether values of a type of Arrow are texts, also those of a few categories."""
    from pyarrow import types

    values = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_string(values) or types.is_large_string(values))


def kept_file_of(table: Frame | str | Path, what: str) -> Path:
    """As ``file_of``, until this process ends: a scenario names its table by the path."""
    return _KEPT.enter_context(file_of(table, what))
