"""Links open what they were made of, and nothing else gets through."""

from __future__ import annotations

import base64
import json
import random
import zlib

import pytest

from exoabm.errors import InputError
from exoabm.viz.components.export_import import ASKED
from exoabm.viz.draft import Draft
from exoabm.viz.links_with_content import ANSWERABLE, MOST_BYTES, fragment, pack, unpack
from exoabm.viz.links_with_content import LONGEST as LONGEST_PACKED
from exoabm.viz.page_run import opened
from exoabm.viz.parameter_controls import controls_of
from exoabm.viz.run_setup import FACES, LONGEST, Setup, decode, encode, first_setup
from exoabm.viz.server.uploads import UploadFolder, read_table_upload

SHIPPED = ["signaling", "tissue", "two_cells", "waste_removal"]


@pytest.mark.parametrize("scenario", SHIPPED)
def test_a_fresh_setup_has_a_short_link(scenario: str) -> None:
    setup = first_setup(scenario, seed=7)
    query = encode(setup, 2.5)
    assert query == f"scenario={scenario}&seed=7&hours=2.5"
    assert decode(query).setup == setup
    assert decode(query).hours == 2.5


def test_there_and_back_gives_the_same_model() -> None:
    values = {
        "cell_type.recipient.uptake_rate": "140",
        "vesicle.exosome.half_life": "inf",
        "transport.engine": "continuum",
        "layout.group.recipient.count": "30",
        "domain.faces.x": "open",
    }
    setup = first_setup("signaling", seed=2**63 - 1).changed(values)
    link = decode("?" + encode(setup, 1 / 3))
    assert link.setup.load().sha256() == setup.load().sha256()
    assert link.setup.seed == setup.seed
    assert link.hours == pytest.approx(1 / 3, rel=1e-9)


def test_units_may_be_written() -> None:
    link = decode("scenario=signaling&vesicle.exosome.half_life=30+min")
    assert dict(link.setup.overrides)["vesicle.exosome.half_life"] == "0.5"


@pytest.mark.parametrize("scenario", SHIPPED)
def test_every_control_of_a_scenario_fits_into_a_link(scenario: str) -> None:
    setup = first_setup(scenario)
    controls = controls_of(setup.load())
    assert len(controls) > 15
    for key, control in controls.items():
        link = decode(encode(setup.changed({key: control.applied})))
        assert controls_of(link.setup.load())[key].applied == control.applied


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("scenario=../../etc/passwd", "no shipped scenario"),
        ("scenario=/etc/passwd", "no shipped scenario"),
        ("scenario=http://example.org/x.toml", "no shipped scenario"),
        ("scenario=signalling", "did you mean 'signaling'"),
        ("scenario=signaling&scenario=tissue", "occurs twice"),
        ("scenario=signaling&layout.table=/etc/passwd", "cannot set this"),
        ("scenario=signaling&layout.table=x.csv", "cannot set this"),
        ("scenario=signaling&record.fields=1", "cannot set this"),
        ("scenario=signaling&info.title=<script>alert(1)</script>", "cannot set this"),
        ("scenario=signaling&domain.size=[1e9,1e9]", "cannot set this"),
        ("scenario=signaling&__class__=1", "cannot set this"),
        ("scenario=signaling&cell_type.recipient.uptake=1", "did you mean"),
        ("scenario=signaling&cell_type.recipient.uptake_rate=-1", "outside the allowed"),
        ("scenario=signaling&cell_type.recipient.uptake_rate=nan", "cell_type.recipient.uptake_rate"),
        ("scenario=signaling&cell_type.recipient.uptake_rate=1e400", "cell_type.recipient.uptake_rate"),
        ("scenario=signaling&cell_type.recipient.uptake_rate=", "cell_type.recipient.uptake_rate"),
        ("scenario=signaling&cell_type.recipient.uptake_rate={value=1}", "cell_type.recipient.uptake_rate"),
        ("scenario=signaling&cell_type.recipient.uptake_rate=" + "9" * 500, "too long"),
        ("scenario=signaling&layout.group.recipient.count=99999999", "outside the allowed"),
        ("scenario=signaling&transport.engine=os.system", "must be one of"),
        ("scenario=signaling&domain.faces.x={concentration=1}", "must be one of"),
        ("seed=-1", "whole number"),
        ("seed=1.5", "whole number"),
        ("seed=²", "whole number"),
        ("seed=9223372036854775808", "whole number"),
        ("hours=nan", "0 to"),
        ("hours=inf", "0 to"),
        ("hours=1e9", "0 to"),
        ("%ff%fe", "not a share link"),
        ("a=%ff", "not a share link"),
        ("novalue", "not a share link"),
        ("&".join(f"k{i}=1" for i in range(65)), "not a share link"),
        ("a=" + "b" * LONGEST, "characters"),
    ],
)
def test_hostile_links_are_refused_in_words(query: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        decode(query)
    assert says in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "query",
    [
        "?scenario=../../../etc/passwd",
        "?scenario=http://example.org/evil.toml",
        "?scenario=signaling&layout.table=/etc/passwd",
        "?scenario=signaling&clock.duration=1e99",
        "?scenario=signaling&domain.voxel=0.5&hours=1",
        "?scenario=signaling&layout.group.recipient.count=9999999",
        "?scenario=signaling&cell_type.recipient.uptake_rate=nan",
        "?seed=-1",
    ],
)
def test_a_page_that_cannot_open_opens_the_first_scenario_and_says_why(query: str) -> None:
    page = opened(query)
    assert page.setup == first_setup("signaling")
    assert page.session._model.state.time == page.hours == 0
    assert page.problem
    assert "Traceback" not in page.problem
    assert "root:" not in page.problem


def test_an_empty_address_opens_the_first_scenario() -> None:
    assert decode("").setup == first_setup("signaling")


def test_a_file_of_ones_own_has_no_link(tmp_path) -> None:
    with pytest.raises(InputError, match="only a shipped scenario"):
        encode(Setup(str(tmp_path / "mine.toml"), trusted=True))


def test_faces_are_those_of_the_schema() -> None:
    for key, words in FACES.items():
        for word in words:
            assert Setup("two_cells", ((key, word),)).load()


SECRETION = "cell_type.neuron.secretion"


def test_a_link_carries_controls_that_another_choice_has_brought() -> None:
    setup = first_setup("disease_progression")
    assert SECRETION not in controls_of(setup.load())
    setup = setup.changed({SECRETION: "poisson", "transport.engine": "vesicles"})
    assert SECRETION in controls_of(setup.load())
    link = decode(encode(setup))
    assert link.setup.load().sha256() == setup.load().sha256()
    with pytest.raises(InputError, match="must be one of"):
        decode("scenario=disease_progression&transport.engine=vesicles&" + SECRETION + "=often")
    with pytest.raises(InputError, match="cannot set this"):
        decode("scenario=disease_progression&" + SECRETION + "=poisson")


def test_what_nothing_reads_any_more_is_left_out_of_a_link() -> None:
    setup = first_setup("disease_progression").changed({SECRETION: "poisson"})
    assert encode(setup) == "scenario=disease_progression&seed=1"
    with pytest.raises(InputError, match="cannot set this"):
        encode(setup.changed({"domain.size": "[1e3, 1e3]"}))


def section(cells: int) -> bytes:
    """A table of cells in pixels."""
    drawn = random.Random(3)
    rows = (f"{drawn.uniform(0, 400):.1f};{drawn.uniform(0, 300):.1f};{'AB'[i % 2]}" for i in range(cells))
    return "\n".join(["x;y;cell_type", *rows]).encode()


def carries(head: dict[str, object], body: bytes, hours: str = "0") -> str:
    """The end of an address that carries anything."""
    packed = zlib.compress(json.dumps(head).encode() + b"\n" + body)
    return f"#hours={hours}&open={base64.urlsafe_b64encode(packed).decode()}"


def test_a_small_table_fits_into_a_link(uploads: UploadFolder) -> None:
    table = read_table_upload(uploads, "my slide.csv", section(40), {"unit": "0.5 um"})
    setup = table.setup({"A": "tumor"}, seed=9).changed({"transport.hindrance": "0.4"})
    link = unpack(fragment(pack(setup), 1.5), uploads)
    assert link.hours == 1.5
    assert link.setup.seed == 9
    assert link.setup.file != setup.file
    assert link.setup.load().sha256() == setup.load().sha256()
    assert link.setup.load().table_sha256() == setup.load().table_sha256()
    assert link.setup.title == "my slide.csv"
    assert link.setup.command == setup.command
    assert set(ANSWERABLE) == set(ASKED)
    assert len(pack(read_table_upload(uploads, "a.csv", section(1400)).setup({}))) < LONGEST_PACKED
    with pytest.raises(InputError, match="a link carries up to 16,000; send the file"):
        pack(read_table_upload(uploads, "a.csv", section(3000)).setup({}))


def test_a_built_scenario_fits_into_a_link(uploads: UploadFolder) -> None:
    setup = Draft.empty().taken(Setup("tumor_niche").load()).setup(seed=4)
    changed = setup.changed({"cell_type.tumor.release_rate": "90"})
    link = unpack(fragment(pack(changed), 0), uploads)
    assert link.setup == changed
    with_a_table = carries({"what": "scenario", "seed": 1}, Setup("tissue").load().text)
    with pytest.raises(InputError, match="reads no files"):
        unpack(with_a_table, uploads)


TABLE = {"what": "table", "seed": 1, "name": "a.csv"}


@pytest.mark.parametrize(
    ("link", "says"),
    [
        ("#hours=1&open=", "not a whole link"),
        ("#hours=1&open=" + "A" * 20_000, "at most 16,000"),
        ("#hours=1&open=AAAA", "damaged"),
        (carries(TABLE, section(40))[:-40], "was cut off|damaged"),
        (carries(TABLE, b"x" * (MOST_BYTES + 10)), "larger than the 8 MiB"),
        (carries(TABLE, b""), "is empty"),
        (carries(TABLE | {"answers": {"types_from": "/etc/passwd"}}, section(5)), "cannot contain this"),
        (carries(TABLE | {"types": {"A": "martian"}}, section(5)), "no cell type 'martian'"),
        (carries(TABLE | {"set": {"layout.table": "/etc/passwd"}}, section(5)), "a link cannot set this"),
        (carries(TABLE | {"set": {"transport.hindrance": "7"}}, section(5)), "outside the allowed"),
        (carries(TABLE | {"seed": -1}, section(5)), "damaged"),
        (carries(TABLE | {"path": "x"}, section(5)), "damaged"),
        (carries(TABLE, section(5), hours="1e9"), "0 to"),
        (carries({"what": "scenario", "seed": 1}, b"[info]"), "required"),
    ],
)
def test_what_a_link_carries_is_checked(link: str, says: str, uploads: UploadFolder) -> None:
    with pytest.raises(InputError, match=says):
        unpack(link, uploads)
