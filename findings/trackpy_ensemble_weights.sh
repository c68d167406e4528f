#!/usr/bin/env bash
# trackpy 0.7: the ensemble's mean squared displacement weighs a particle by the length of its track.
#
# Nanoparticle tracking sizes vesicles by their displacements, and how long a vesicle stays in focus depends on its
# size. Guess: emsd, the mean over the ensemble, is the mean over particles, here (2 + 10)/2 = 6 um^2/s for 100
# particles with D = 2 in tracks of 10 frames and 100 with D = 10 in tracks of 100.
# Seen: 9.3 um^2/s, the mean over displacements (900 of D = 2, 9,900 of D = 10: 9.33); imsd averaged over particles
#   gives 6. By Stokes and Einstein the diameters differ by a factor of 1.55.
# Consequence here: a measured size distribution is read per particle, and totals of a tracking instrument are taken as
#   numbers of tracks only where its file says so.
. "$(dirname "$0")/lib.sh"
packages trackpy==0.7 numpy==2.4.6 pandas==2.3.3

cat >ensemble.py <<'PYTHON'
import numpy as np
import pandas as pd
import trackpy

trackpy.quiet()
random, fps, mpp = np.random.default_rng(0), 30.0, 0.1
rows = []
for particle in range(200):
    d, frames = ((2.0, 10), (10.0, 100))[particle >= 100]
    xy = np.cumsum(random.normal(0, np.sqrt(2 * d / fps), (frames, 2)), axis=0) / mpp
    rows.append(pd.DataFrame({"frame": range(frames), "x": xy[:, 0], "y": xy[:, 1], "particle": particle}))
tracks = pd.concat(rows, ignore_index=True)
ensemble = trackpy.emsd(tracks, mpp, fps, max_lagtime=1).iloc[0] * fps / 4
particles = trackpy.imsd(tracks, mpp, fps, max_lagtime=1).iloc[0].mean() * fps / 4
print(f"FINDING D from emsd {ensemble:.2f}, from the mean over particles {particles:.2f}")
assert abs(ensemble - (900 * 2 + 9900 * 10) / 10800) < 0.3
assert abs(particles - 6) < 0.5
PYTHON
"$python" ensemble.py 2>&1 | grep -E '^FINDING|Error'
