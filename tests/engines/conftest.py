"""The worlds of the physics tests serve here too."""

import sys
from pathlib import Path

for folder in (Path(__file__).parent, Path(__file__).parents[1] / "physics"):
    sys.path.insert(0, str(folder))
