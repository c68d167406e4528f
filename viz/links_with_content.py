"""A link that carries what it opens: a small table of cells, or a scenario that was built on the page.

It stands behind ``#`` in the address, which a browser does not send with its request; the page hands it over
once it is there. What it carries is compressed: a line of JSON that says what follows and how it is run, then
the table or the scenario itself::

    #hours=2&open=eNp1kM1q...

On opening it is checked as an upload is: its size before and after unpacking, the table by the reader of
uploads, the scenario as one that is not trusted, values by the controls of the page.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from typing import TYPE_CHECKING, Literal

from pydantic import Field, ValidationError

from exoabm.errors import InputError
from exoabm.readers.options import BYSTANDER
from exoabm.viz.draft import NAME, BuiltSetup
from exoabm.viz.run_setup import LARGEST_SEED, MOST, Data, Link, hours_of, with_values
from exoabm.viz.server.uploads import MOST_TABLE_BYTES, TableSetup, read_table_upload

if TYPE_CHECKING:
    from exoabm.viz.run_setup import Setup
    from exoabm.viz.server.uploads import UploadFolder

LONGEST = 16_000
"""Characters of what is carried; about 1,500 cells with type and places to 0.1 um."""
MOST_BYTES = MOST_TABLE_BYTES + (1 << 16)
"""Unpacked."""
ANSWERABLE = ("unit", "z_unit", "cell_type", "where", "time", "x", "y", "z")
"""Keys of the layout that a reader can answer on the page."""
_FORM = re.compile(r"#hours=([0-9.e+-]{1,32})&open=([A-Za-z0-9_-]+={0,2})")


class Head(Data):
    """What a link carries, and how it is run.

    Attributes
    ----------
    what : str
    seed : int
    set : dict of str to str
        Changed values by dotted key.
    name : str
        Of the table, as its owner has it.
    types, answers : dict of str to str
        Cell types of its labels, and answers of the reader to what it leaves open.
    """

    what: Literal["table", "scenario"]
    seed: int = Field(ge=0, le=LARGEST_SEED)
    set: dict[str, str] = Field(default={}, max_length=MOST)
    name: str = Field(default="", max_length=200)
    types: dict[str, str] = Field(default={}, max_length=MOST)
    answers: dict[str, str] = Field(default={}, max_length=len(ANSWERABLE))


def pack(setup: TableSetup | BuiltSetup) -> str:
    """What a link to a setup carries; see ``fragment``.

    Raises
    ------
    InputError
        If it is too long.
    """
    pairs = dict(setup.overrides)
    if isinstance(setup, TableSetup):
        types, answers = dict(setup.types), dict(setup.answers)
        head = Head(what="table", seed=setup.seed, set=pairs, name=setup.given, types=types, answers=answers)
        body = setup.file.read_bytes()
    else:
        head, body = Head(what="scenario", seed=setup.seed, set=pairs), setup.text
    packed = zlib.compress(head.model_dump_json(exclude_defaults=True).encode() + b"\n" + body, 9)
    text = base64.urlsafe_b64encode(packed).decode()
    if len(text) > LONGEST:
        raise InputError(
            f"packed, the {head.what} has {len(text):,} characters, and a link carries up to {LONGEST:,}; "
            "send the file itself, or the run"
        )
    return text


def fragment(packed: str, hours: float) -> str:
    """The end of an address that opens what was packed at this hour."""
    return f"#hours={hours:.10g}&open={packed}"


def unpack(text: str, uploads: UploadFolder) -> Link:
    """The link of the end of an address; a table is kept among ``uploads``.

    Raises
    ------
    InputError
        Naming what is wrong and what is allowed.
    """
    if len(text) > LONGEST + 100:
        raise InputError(f"a link carries at most {LONGEST:,} characters")
    found = _FORM.fullmatch(text)
    if found is None:
        raise InputError("the address is not a whole link of this page; was a part cut off?")
    head, body = _inflated(found[2])
    if head.what == "table":
        for key in head.answers.keys() - set(ANSWERABLE):
            raise InputError(f"{key[:40]!r}: a link cannot contain this key of a table")
        table = read_table_upload(uploads, head.name, body, head.answers)
        setup: Setup = table.setup(dict.fromkeys(table.labels, BYSTANDER) | head.types, head.seed)
    else:
        setup = BuiltSetup(NAME, (), head.seed, False, body)
    setup.load()
    return Link(with_values(setup, head.set), hours_of(found[1]))


def _inflated(text: str) -> tuple[Head, bytes]:
    """What was packed, of no more bytes than an upload has."""
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(base64.urlsafe_b64decode(text), MOST_BYTES)
        if inflater.unconsumed_tail:
            raise InputError(
                f"unpacked, the link is larger than the {MOST_BYTES >> 20} MiB that the page takes"
            )
        if not inflater.eof:
            raise InputError("the link is not whole; a part was cut off")
        head, _, body = data.partition(b"\n")
        return Head.model_validate_json(head), body
    except (binascii.Error, zlib.error, ValidationError):
        raise InputError("the link is damaged, or not one of this page") from None
