"""Compiled code that is kept between processes is that of the sources as they are."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import exoabm.kernels

CALLED = "from numba import njit\n\n\n@njit\ndef called(x):\n    return {} * x\n"
CALLING = """
from numba import njit
from exoabm.kernels.called import called


@njit(cache=True)
def calling(x):
    return called(x) + 1.0
"""
SHOW = (
    "from exoabm.kernels.calling import calling; print(calling(1.0), sum(calling.stats.cache_hits.values()))"
)


def test_a_changed_function_is_compiled_anew_where_another_file_calls_it(tmp_path: Path) -> None:
    """numba 0.68.1 alone would go on with the earlier code: the file of ``calling`` has not changed."""
    kernels = tmp_path / "exoabm" / "kernels"
    kernels.mkdir(parents=True)
    (kernels.parent / "__init__.py").touch()
    shutil.copy(Path(exoabm.kernels.__file__), kernels / "__init__.py")
    (kernels / "calling.py").write_text(CALLING)
    free = {key: value for key, value in os.environ.items() if key != "NUMBA_CACHE_DIR"}
    shown = []
    for factor in (2, 2, 3):
        (kernels / "called.py").write_text(CALLED.format(float(factor)))
        made = subprocess.run(
            [sys.executable, "-B", "-c", SHOW],
            cwd=tmp_path,
            env=free,
            capture_output=True,
            text=True,
            check=True,
        )
        shown.append(made.stdout.split())
    assert shown == [["3.0", "0"], ["3.0", "1"], ["4.0", "0"]]
