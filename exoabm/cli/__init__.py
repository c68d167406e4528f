"""The command line. Errors are one message without a traceback; exit codes are a contract.

0 done, 1 a run failed, 2 bad input, 3 resources refused, 4 numerical failure, 130 interrupted.
"""

from __future__ import annotations

# The order of the help.
# isort: off
from exoabm.cli import scenario_commands as scenario_commands
from exoabm.cli import run_commands as run_commands
from exoabm.cli import result_commands as result_commands
from exoabm.cli import batch_commands as batch_commands
from exoabm.cli import calibration_commands as calibration_commands
from exoabm.cli import causal_commands as causal_commands
from exoabm.cli import page_and_benchmark_commands as page_and_benchmark_commands
# isort: on

from exoabm.cli.console import app as app
from exoabm.cli.console import main as main
from exoabm.cli.console import run_to_exit as run_to_exit
