"""``exoabm`` and ``python -m exoabm``."""

from __future__ import annotations

import os
import signal


def main() -> None:
    """Run the command line; an interrupt while it is imported ends the process without a traceback."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # not one that is ignored, as in the background of a shell
        signal.signal(signal.SIGINT, lambda *_: os._exit(128 + signal.SIGINT))
    from exoabm.cli import main as command

    signal.signal(signal.SIGINT, before)
    try:
        command()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the code of the command stays while the process ends


if __name__ == "__main__":
    main()
