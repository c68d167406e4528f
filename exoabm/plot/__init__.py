"""Figures for papers: functions that draw into given axes, and pages made of them.

    ax = exoabm.plot.matrix(mean, donors, recipients, half=half, ax=ax)

``matrices``, ``networks``, ``maps``, ``curves``   figures
``figure_page``   sizes in mm and points, fonts, panels side by side over a caption, and files with the same
                  bytes each time; ``matrix_page`` and ``curve_page`` fill it

All draw with Matplotlib's objects alone, no ``pyplot``, in the colors of ``plot.palette``. Matplotlib is
loaded when something is drawn.
"""

from __future__ import annotations

from exoabm.plot.curves import courses as courses
from exoabm.plot.curves import distances as distances
from exoabm.plot.maps import links as links
from exoabm.plot.matrices import matrix as matrix
from exoabm.plot.networks import network as network
