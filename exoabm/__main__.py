"""``exoabm`` and ``python -m exoabm``."""

from __future__ import annotations

from exoabm.interrupts import end_process_on_signals


def main() -> None:
    """Run the command line; a signal while it is imported ends the process without a traceback."""
    end_process_on_signals()
    from exoabm.cli import run_to_exit

    run_to_exit()


if __name__ == "__main__":
    main()
