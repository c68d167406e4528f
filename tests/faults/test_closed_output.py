"""What becomes of a command when nobody reads what it prints, or cannot read all letters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = ("show signaling", "show signaling --json", "cite --bibtex", "list", "cite two_cells --json")


def start(words: str, **streams) -> subprocess.Popen:
    command = [sys.executable, "-P", "-m", "exoabm", *words.split()]
    return subprocess.Popen(command, stderr=subprocess.PIPE, **streams)


@pytest.mark.parametrize("words", COMMANDS)
def test_a_reader_that_has_enough_is_no_failure(words) -> None:
    """As in ``exoabm show signaling | head``; 1 would say that runs failed."""
    reading, writing = os.pipe()
    os.close(reading)
    done = start(words, stdout=writing)
    os.close(writing)
    assert done.communicate()[1] == b""
    assert done.returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full here")
@pytest.mark.parametrize("words", COMMANDS[:3])
def test_a_full_disk_behind_the_output_is_an_error_without_a_traceback(words) -> None:
    with Path("/dev/full").open("wb") as full:
        done = start(words, stdout=full)
        said = done.communicate()[1].decode()
    assert said == "Error: No space left on device\n"
    assert done.returncode == 1


def test_a_command_works_where_there_is_no_output_at_all() -> None:
    done = start("validate two_cells", preexec_fn=lambda: os.close(1))
    assert done.communicate()[1] == b""
    assert done.returncode == 0


def test_letters_that_an_encoding_lacks_are_written_in_others(monkeypatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    for words in ("show tumor_delivery", "show tumor_delivery --json"):
        done = start(words, stdout=subprocess.PIPE)
        text, said = done.communicate()
        assert (done.returncode, said) == (0, b"")
        assert text.isascii()
        assert b"\\xd7" in text or json.loads(text)
