"""The command line. Errors are one message without a traceback; exit codes are a contract.

0 done, 1 a run failed, 2 bad input, 3 resources refused, 4 numerical failure, 130 interrupted.
"""

from __future__ import annotations

# The order of the help.
# isort: off
from exoabm.cli import scenarios as scenarios
from exoabm.cli import runs as runs
from exoabm.cli import folders as folders
from exoabm.cli import batches as batches
from exoabm.cli import calibration as calibration
from exoabm.cli import causal as causal
from exoabm.cli import services as services
# isort: on

from exoabm.cli.console import app as app
from exoabm.cli.console import main as main
