"""The declaration of every table: columns with type, unit, meaning, and the meaning of null.

Schemas, footers, checks of readers, the data dictionary and the names of readouts follow from it.
"""

from __future__ import annotations

from dataclasses import dataclass

from exoabm.parameters.catalog import ORGANS
from exoabm.tables.fates import BALANCE, BETWEEN_CELLS, EVENTS, SENDERS

SCHEMA_VERSION = 1
"""Version of the tables and of ``run.json``; folders of another version are refused."""

WHOLE, REAL, TEXT, WORD = "int64", "float64", "text", "word"
"""Types of columns; a ``word`` is a text of which a table holds few different ones."""
COMPARTMENTS = ("depot", "plasma", "peripheral", *ORGANS, "lost")
"""Compartments of the body of a dose; ``lost`` was degraded, excreted, or never absorbed."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    name : str
    dtype : str
        ``int64``, ``float64``, ``text`` or ``word``.
    unit : str
        "" for names and identifiers, "1" for numbers without a unit.
    meaning : str
    null : str
        Meaning of a missing value; "" where no value may be missing.
    allowed : tuple of str
        The only words that occur; any word if empty.
    """

    name: str
    dtype: str
    unit: str
    meaning: str
    null: str = ""
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table, stored as ``<name>.parquet``.

    Attributes
    ----------
    name : str
    meaning : str
        Meaning of a row.
    key : tuple of str
        Columns that identify a row; empty where a row has no key.
    columns : tuple of Column
    where : str
        Where the table is found; "" for one that every run folder has.
    more : str
        What further columns there are, of a table that is as wide as its batch is; their names hold a dot or
        a bracket, and those of ``columns`` hold none.
    """

    name: str
    meaning: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    where: str = ""
    more: str = ""

    @property
    def file(self) -> str:
        """Name of its file."""
        return f"{self.name}.parquet"

    @property
    def values(self) -> tuple[Column, ...]:
        """The columns that are not part of the key."""
        return tuple(column for column in self.columns if column.name not in self.key)


def _numbers(unit: str, meanings: dict[str, str], null: str = "", dtype: str = REAL) -> tuple[Column, ...]:
    return tuple(Column(name, dtype, unit, meaning, null) for name, meaning in meanings.items())


TIME_H = Column("time_h", REAL, "h", "model time")
TIME_S = Column("time_s", REAL, "s", "model time")
KIND = Column("vesicle_kind", WORD, "", "name of the vesicle kind")
TYPE = Column("cell_type", WORD, "", "name of the cell type")
CARGO = Column("cargo", WORD, "", "name of the cargo")
DOSE_NAME = Column("dose", WORD, "", "name of the dose")
CELL_ID = Column("cell", WHOLE, "", "birth id of the cell; cells are numbered in the order of birth, from 0")
POSITION = _numbers("um", {f"{axis}_um": f"center of the cell along {axis}" for axis in "xyz"})
PLACE = tuple(
    Column(
        f"{axis}_um", REAL, "um", f"place of the event along {axis}", "the place of the event is not known"
    )
    for axis in "xyz"
)
SENDER = (
    Column("sender", WORD, "", "kind of sender", allowed=SENDERS),
    Column(
        "donor", WHOLE, "", "birth id of the sending cell", "not sent by a cell, or only its type is known"
    ),
    Column(
        "donor_type",
        WORD,
        "",
        "cell type of the sending cell; any with transport.provenance = none",
        "not sent by a cell",
    ),
)
"""The sender: the same three columns in every table that has one."""
NO_CELLS = "there is no cell of this type"
NONE_LEFT = "there is no cell of this type, and turnover of cells is not modeled"
NO_HOST, NO_PROCESS = "no immune response is modeled", "no manufacture is modeled"
NO_BODY, FREE_ONLY = "the dose passes through no body", "this form is not followed in this compartment"

METRICS = (
    Table(
        "metrics",
        "a recorded time",
        ("time_h",),
        (
            TIME_H,
            *_numbers(
                "1",
                {
                    "innate_activation": "innate activation of the host",
                    "effectors": "effector cells of the host, relative to their capacity",
                    "memory": "memory of the host",
                },
                NO_HOST,
            ),
            *_numbers(
                "h",
                {
                    "innate_activation_h": "time integral of innate activation",
                    "effectors_h": "time integral of effectors",
                },
                NO_HOST,
            ),
            *_numbers(
                "vesicles",
                {
                    "batch_medium": "vesicles in the conditioned medium of a batch",
                    "batch_stored": "vesicles of a batch that remain after isolation and storage",
                },
                NO_PROCESS,
            ),
            Column("batch_recovered_share", REAL, "1", "share of the vesicles that is recovered", NO_PROCESS),
            Column("batch_purity_per_ug", REAL, "vesicles/ug", "vesicles per mass of protein", NO_PROCESS),
            Column("batch_doses", REAL, "doses", "doses from a batch", NO_PROCESS),
            Column("batch_doses_per_day", REAL, "doses/day", "doses of vesicles per day", NO_PROCESS),
            Column("batch_doses_per_cost", REAL, "doses/cost", "doses of vesicles per cost", NO_PROCESS),
            Column(
                "cell_doses_per_day", REAL, "doses/day", "doses of cells per day, for comparison", NO_PROCESS
            ),
            Column("cell_doses_per_cost", REAL, "doses/cost", "doses of cells per cost", NO_PROCESS),
        ),
    ),
    Table(
        "metrics_by_kind",
        "a recorded time and vesicle kind",
        ("time_h", "vesicle_kind"),
        (
            TIME_H,
            KIND,
            *_numbers(
                "vesicles",
                {"emitted": "vesicles released or recycled by cells, or that entered the domain, until now"},
            ),
            *_numbers("vesicles", {name: f"vesicles {meaning}" for name, meaning in BALANCE.items()}),
            *_numbers("vesicles", {"taken_up": "vesicles taken up by cells until now"}),
            *_numbers(
                "1/mL",
                {
                    "mean_concentration_per_mL": "free vesicles per open volume, without those that left "
                    "a cell in the last step",
                    "max_concentration_per_mL": "highest concentration of free vesicles in a voxel",
                },
            ),
        ),
    ),
    Table(
        "metrics_by_type",
        "a recorded time and cell type",
        ("time_h", "cell_type"),
        (
            TIME_H,
            TYPE,
            *_numbers(
                "1",
                {
                    "divisions": "divisions until now",
                    "blocked": "divisions without sufficient space, until now",
                    "deaths": "deaths until now",
                    "transformations": "cells that transformed into another type, until now",
                },
                "turnover of cells is not modeled",
                WHOLE,
            ),
            Column("cells", WHOLE, "cells", "present number of cells", NONE_LEFT),
            Column(
                "responding_cells",
                WHOLE,
                "cells",
                "cells with an effect of 0.5 or more",
                "no response is modeled",
            ),
            Column(
                "arrived_cells",
                WHOLE,
                "cells",
                "cells within one diameter of a cell of another type that releases the vesicles they follow",
                "cells of this type follow no vesicles",
            ),
            *_numbers(
                "vesicles/cell",
                {
                    "released_per_cell": "vesicles released until now, mean over present cells",
                    "taken_up_per_cell": "vesicles taken up until now, mean over present cells",
                    "delivered_per_cell": "vesicles that delivered their cargo until now, mean over cells",
                },
                NO_CELLS,
            ),
            Column(
                "effect_mean",
                REAL,
                "1",
                "strength of the responses of a cell, 0 to 1, mean over cells",
                f"no response is modeled, or {NO_CELLS}",
            ),
            Column(
                "waste_units_per_cell",
                REAL,
                "waste units/cell",
                "waste held, mean over cells",
                f"no waste is modeled, or {NO_CELLS}",
            ),
        ),
    ),
    Table(
        "metrics_by_cargo",
        "a recorded time, cell type and cargo",
        ("time_h", "cell_type", "cargo"),
        (
            TIME_H,
            TYPE,
            CARGO,
            Column(
                "copies_per_cell",
                REAL,
                "copies/cell",
                "copies held now, mean over cells",
                "the cargo is waste",
            ),
            Column(
                "holding_cells", WHOLE, "cells", "cells that hold at least one copy now", "the cargo is waste"
            ),
            Column(
                "copies_delivered_per_cell",
                REAL,
                "copies/cell",
                "copies delivered to the cytosol until now, mean over cells",
                "not a signal, or not delivered to this type by vesicles",
            ),
            Column(
                "effect_share",
                REAL,
                "1",
                "share of cells with at least `effect_copies` copies delivered",
                "not a signal, or not delivered to this type by vesicles",
            ),
        ),
    ),
    Table(
        "metrics_by_dose",
        "a recorded time and dose",
        ("time_h", "dose"),
        (
            TIME_H,
            DOSE_NAME,
            *_numbers("1", {"given_share": "share of the schedule that was administered"}),
            *_numbers("vesicles", {"entered_tissue": "particles that entered the tissue until now"}),
            *_numbers("1", {"procedures": "procedures of the schedule"}),
            Column(
                "living_share",
                REAL,
                "1",
                "share of the administered cells that are alive",
                "no dose of cells",
            ),
            Column(
                "released", REAL, "vesicles", "vesicles released by cells of the dose", "no dose of cells"
            ),
        ),
    ),
    Table(
        "metrics_by_compartment",
        "a recorded time, dose and compartment of the body",
        ("time_h", "dose", "compartment"),
        (
            TIME_H,
            DOSE_NAME,
            Column("compartment", WORD, "", "compartment of the body", allowed=COMPARTMENTS),
            *_numbers(
                "1", {"particle_share": "share of the dose in this compartment as particles, now"}, FREE_ONLY
            ),
            *_numbers("h", {"particle_exposure_h": "time integral of that share"}, FREE_ONLY),
            *_numbers(
                "1",
                {"molecule_share": "share of the dose in this compartment as free molecules, now"},
                FREE_ONLY,
            ),
            *_numbers(
                "molecules h",
                {"molecules_h": "time integral of free molecules in this compartment"},
                FREE_ONLY,
            ),
        ),
    ),
)
"""Time series; every column that is not part of a key is a readout."""

CELLS = (
    Table(
        "cells",
        "a recorded time and living cell",
        ("time_s", "cell"),
        (
            TIME_S,
            CELL_ID,
            TYPE,
            *POSITION,
            Column("waste_units", REAL, "waste units", "waste held now"),
            Column(
                "mvb", REAL, "1", "multivesicular bodies now", "no pool of multivesicular bodies is modeled"
            ),
            Column("effect", REAL, "1", "strength of its responses, 0 to 1", "no response is modeled"),
            Column("source_id", TEXT, "", "id in the layout's table", "no table, or the cell was born later"),
            Column(
                "source_label",
                WORD,
                "",
                "label in the layout's table",
                "no table, or the cell was born later",
            ),
        ),
    ),
    Table(
        "cells_by_kind",
        "a recorded time, living cell and vesicle kind",
        ("time_s", "cell", "vesicle_kind"),
        (
            TIME_S,
            CELL_ID,
            KIND,
            *_numbers(
                "vesicles",
                {
                    "released": "vesicles released until now",
                    "encountered": "vesicles captured by the surface until now",
                    "bound": "vesicles on the surface now",
                    "taken_up": "vesicles taken up until now",
                    "endosomal": "vesicles in endosomes now",
                    "lysosomal": "vesicles degraded in lysosomes until now",
                    "recycled": "vesicles released again until now",
                    "delivered": "vesicles whose cargo reached the cytosol until now",
                },
            ),
        ),
    ),
    Table(
        "cells_by_cargo",
        "a recorded time, living cell and cargo other than waste",
        ("time_s", "cell", "cargo"),
        (TIME_S, CELL_ID, CARGO, Column("copies", REAL, "copies", "functional copies held now")),
    ),
    Table(
        "behaviors",
        "a recorded time, living cell and behavior",
        ("time_s", "cell", "behavior"),
        (
            TIME_S,
            CELL_ID,
            Column("behavior", WORD, "", "name of the behavior, as in responses"),
            Column("value", REAL, "see unit", "present value", "the value of the vesicle kind applies"),
            Column("unit", WORD, "", "unit of the value"),
        ),
    ),
)

EVENT_TABLES = (
    Table(
        "events",
        "an event of a single vesicle, or all events of one kind between two parties in an interval",
        (),
        (
            Column("event", WORD, "", "kind of event", allowed=tuple(EVENTS)),
            Column(
                "time_s",
                REAL,
                "s",
                "model time; the end of an interval; for a single vesicle to 1/4096 of the step",
            ),
            Column("interval_s", REAL, "s", "length of the interval before time_s; 0 for a single vesicle"),
            Column("vesicle", WHOLE, "", "opaque id of the vesicle, below 2^53", "an expected number"),
            Column(
                "number",
                WHOLE,
                "",
                "vesicles of the kind that the same source had released before this one",
                "an expected number",
            ),
            KIND,
            *SENDER,
            Column(
                "recipient", WHOLE, "", "birth id of the cell on or in which it occurred", "in the medium"
            ),
            Column("recipient_type", WORD, "", "its cell type at that time", "in the medium"),
            Column("count", REAL, "vesicles", "number of vesicles; expected numbers need not be integers"),
            Column(
                "hops", WHOLE, "1", "number of times that the vesicle has been recycled", "an expected number"
            ),
            *PLACE,
        ),
    ),
    Table(
        "vesicle_cargo",
        "a vesicle and a cargo of its kind",
        ("vesicle", "cargo"),
        (
            Column("vesicle", WHOLE, "", "id of the vesicle, as in events"),
            CARGO,
            Column("copies", WHOLE, "copies", "copies in the vesicle, constant from its release on"),
        ),
        where="runs of the engine vesicles",
    ),
)

EDGES = (
    Table(
        "edges",
        "a sender, a recipient and a vesicle kind with at least one encounter",
        ("sender", "donor", "donor_type", "recipient", "vesicle_kind"),
        (
            *SENDER,
            Column("recipient", WHOLE, "", "birth id of the receiving cell"),
            Column("recipient_type", WORD, "", "its cell type now, or at its death"),
            KIND,
            *_numbers("vesicles", {name: f"vesicles {phrase}" for name, phrase in BETWEEN_CELLS.items()}),
            Column(
                "first_time_s",
                REAL,
                "s",
                "first encounter; for expected numbers the median time of the first one",
                "later than the end, or vesicles came only by division",
            ),
            Column("last_time_s", REAL, "s", "last encounter", "vesicles came only by division"),
            Column(
                "distance_um",
                REAL,
                "um",
                "distance between the centers of both cells",
                "the donor is not known",
            ),
        ),
    ),
    Table(
        "edges_by_cargo",
        "a sender, a recipient, a vesicle kind with at least one encounter, and a cargo of this kind",
        ("sender", "donor", "donor_type", "recipient", "vesicle_kind", "cargo"),
        (
            *SENDER,
            Column("recipient", WHOLE, "", "birth id of the receiving cell"),
            KIND,
            CARGO,
            Column("copies_delivered", REAL, "copies", "copies that reached the cytosol until now"),
        ),
    ),
    Table(
        "pairs",
        "a donor type, dose or reservoir, a recipient type and a vesicle kind; 0 without a vesicle",
        ("sender", "donor_type", "recipient_type", "vesicle_kind"),
        (
            SENDER[0],
            SENDER[2],
            Column("recipient_type", WORD, "", "receiving cell type"),
            KIND,
            *_numbers("vesicles", {n: f"vesicles {BETWEEN_CELLS[n]}" for n in ("encountered", "taken_up")}),
            *_numbers("vesicles", {"delivered": f"vesicles {BETWEEN_CELLS['delivered']}"}),
            Column(
                "distance_um",
                REAL,
                "um",
                "distance between the centers of the cells, mean weighted by vesicles taken up",
                "nothing was taken up, or donor cells are not known",
            ),
            Column("first_time_s", REAL, "s", "first encounter, as in edges", "later than the end"),
        ),
    ),
    Table(
        "lineage",
        "a cell that has existed at any time",
        ("cell",),
        (
            CELL_ID,
            Column("mother", WHOLE, "", "birth id of the cell that divided", "a cell of the layout"),
            Column("cell_type", WORD, "", "cell type now, or at its death"),
            Column("born_s", REAL, "s", "time of birth; 0 for cells of the layout"),
            Column("died_s", REAL, "s", "time of death", "the cell is alive"),
            *POSITION,
        ),
        where="runs with turnover of cells",
    ),
)

RUN_TABLES = (*METRICS, *CELLS, *EVENT_TABLES, *EDGES)
"""The tables of a run folder."""
ROW = Column("row", TEXT, "", "name of the run within its batch")
N = Column("n", WHOLE, "runs", "runs in which the readout is defined")
ESTIMATE = (
    N,
    Column("mean", REAL, "see readout", "mean over these runs", "not defined in any run"),
    Column("sd", REAL, "see readout", "standard deviation over these runs", "fewer than two"),
    Column("ci95_low", REAL, "see readout", "lower end of the 95 % interval of the mean", "fewer than two"),
    Column("ci95_high", REAL, "see readout", "upper end of the 95 % interval", "fewer than two"),
)
BATCH_TABLES = (
    Table(
        "results",
        "a run of a batch",
        ("row",),
        (
            ROW,
            Column("seed", WHOLE, "", "seed of the run"),
            Column("state", WORD, "", "state at the end", allowed=("done", "failed")),
            Column("reason", TEXT, "", "reason of the failure", "the run did not fail"),
        ),
        where="folders of sweeps and trials",
        more="a column for each varied key, named KEY or KEY (UNIT), and for each readout",
    ),
    Table(
        "summary",
        "a point of a batch and a readout",
        ("point", "readout"),
        (
            Column("point", WHOLE, "", "number of the point, from 0"),
            Column("readout", WORD, "", "the readout, written as in results"),
            N,
            Column("failed", WHOLE, "runs", "runs of the point that failed"),
            *ESTIMATE[1:],
        ),
        where="folders of sweeps and trials",
        more="a column for each varied key, named KEY or KEY (UNIT)",
    ),
)
"""The tables of a batch."""
FOLDER_OF_CAUSES = "folders of `exoabm causal` and `exoabm paths`"
CAUSAL_TABLES = (
    Table(
        "causal",
        "a donor, or donor type, and its effect on a readout",
        ("group",),
        (
            Column("group", TEXT, "", "the donors: cell:NUMBER or cell_type:NAME"),
            Column("readout", WORD, "", "the readout, at the end of the run"),
            *_numbers("vesicles", {"sent": "vesicles released by them, mean over seeds"}),
            *_numbers("1", {"sent_share": "share of these in all vesicles released"}),
            Column(
                "n",
                WHOLE,
                "runs",
                "seeds; orders of donors if every seed gives the same run; 1 also if exact",
            ),
            *_numbers("see readout", {"effect": "readout with them minus without them, mean over seeds"}),
            Column("ci95_low", REAL, "see readout", "lower end of its 95 % interval", "n is 1"),
            Column("ci95_high", REAL, "see readout", "upper end of its 95 % interval", "n is 1"),
            Column("effect_share", REAL, "1", "share in the sum of all absolute effects", "all are 0"),
        ),
        where=FOLDER_OF_CAUSES,
    ),
    Table(
        "paths",
        "deliveries to a recipient type, by the first donor type and the number of cells in between",
        ("vesicle_kind", "first_donor_type", "donor_type", "recipient_type", "relays", "recycled"),
        (
            KIND,
            Column(
                "first_donor_type",
                WORD,
                "",
                "type of the cell with which the path begins",
                "not sent by a cell",
            ),
            Column(
                "donor_type",
                WORD,
                "",
                "type of the cell that released the vesicle, which recycling does not change",
                "not sent by a cell",
            ),
            Column("recipient_type", WORD, "", "type of the cell to which it was delivered"),
            Column("relays", WHOLE, "1", "cells in between until the vesicle was released"),
            Column("recycled", WHOLE, "1", "cells in between that took the vesicle up and recycled it"),
            *_numbers("vesicles", {"delivered": "vesicles delivered on such paths"}),
            *_numbers("1", {"share": "share of the vesicles of this kind delivered to the recipient type"}),
        ),
        where=FOLDER_OF_CAUSES,
    ),
)
"""Tables of causal effects."""
TABLES = {table.name: table for table in (*RUN_TABLES, *BATCH_TABLES, *CAUSAL_TABLES)}
"""Every table by name."""
