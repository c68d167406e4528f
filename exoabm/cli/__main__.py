"""``python -m exoabm.cli``."""

from exoabm.cli import main

if __name__ == "__main__":
    main()
