"""Causal effects of a cell, type, edge or vesicle kind, from runs that differ in it alone.

``exoabm.causal`` is this package and, called, the function ``exoabm.api.causal.causal``:

>>> import exoabm
>>> exoabm.causal("two_cells", "taken_up[exosome]", {"clock.step": "10 min"}, design="adjoint")
<effects of donors on taken_up[exosome] in two_cells>
"""

import sys

from exoabm import CallablePackage

sys.modules[__name__].__class__ = CallablePackage
