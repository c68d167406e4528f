"""A signal is answered inside a step of the model, however long the step is."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

STEP = "--set=clock.step=24 h", "--hours=24"
"""A single step, of more than ten minutes of computing on any machine."""
ENGINES = {
    "continuum": ("--set=domain.voxel=2 um",),
    "threads": ("--set=domain.voxel=2 um", "--threads=2"),
    "walk": (
        "--set=transport.engine=vesicles",
        "--set=transport.capture=membrane",
        "--set=cell_type.donor.release_rate=20000 / h",
    ),
}
MINUTE = 60
"""Seconds; many times what it takes, and far less than the step."""


def _started(arguments: list[str], place: Path, request: pytest.FixtureRequest) -> subprocess.Popen[str]:
    """A command that has begun to write the folder of its run."""
    process = subprocess.Popen(
        [sys.executable, "-m", "exoabm", *arguments],
        cwd=place,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: (
            [signal.signal(n, signal.SIG_DFL) for n in (signal.SIGHUP,)]
            + [signal.signal(signal.SIGINT, signal.default_int_handler)]
        ),
    )
    request.addfinalizer(process.kill)
    until = time.monotonic() + 300
    while not list(place.glob(".a.partial/*")):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    return process


@pytest.mark.parametrize(
    ("engine", "number", "code"),
    [
        ("continuum", signal.SIGINT, 130),
        ("threads", signal.SIGTERM, 143),
        ("walk", signal.SIGHUP, 129),
    ],
)
def test_a_signal_ends_a_run_in_the_middle_of_a_step(
    tmp_path: Path, engine: str, number: int, code: int, request: pytest.FixtureRequest
) -> None:
    arguments = ["run", "two_cells", "--seed=2", "--out=a", *STEP, *ENGINES[engine]]
    process = _started(arguments, tmp_path, request)
    time.sleep(2)  # into the kernel; sooner would be answered, too
    assert process.poll() is None
    process.send_signal(number)
    _, err = process.communicate(timeout=MINUTE)
    print(err)
    assert process.returncode == code
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_further_signals_do_not_cut_off_the_cleaning_up(tmp_path, number, code, request) -> None:
    """Of an impatient user, or of a scheduler that signals a process and its group; from the start on."""
    arguments = ["run", "two_cells", "--seed=2", "--out=a", *STEP, *ENGINES["continuum"]]
    process = _started(arguments, tmp_path, request)
    until = time.monotonic() + MINUTE
    while process.poll() is None and time.monotonic() < until:
        process.send_signal(number)
        time.sleep(0.02)
    _, err = process.communicate(timeout=MINUTE)
    assert process.returncode == code
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())
