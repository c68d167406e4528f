#!/usr/bin/env bash
# FlowCyPy 1.2.11 (simulator of flow cytometers): the number of particles in a run has no variance.
#
# Guess: the number of particles that pass in a given time is a Poisson number, so that counts of repeated runs vary by
#   their square root; the scheme "poisson" of `FlowCell`, which is documented to draw the number, is for this.
# Seen: `Fluidics` takes concentration times volume, rounded, for every seed; where 0.4 particles are expected no run has
#   one. With "poisson" it raises, since it does not give on the flux that this scheme needs.
# Consequence here: counting errors of simulated dilution series have to be added by hand; `exoabm` draws numbers.
. "$(dirname "$0")/lib.sh"
packages FlowCyPy==1.2.11 PyMieSim==6.0.8 numpy==2.2.6

cat >counts.py <<'PYTHON'
from FlowCyPy.fluidics import FlowCell, Fluidics, ScattererCollection
from FlowCyPy.fluidics.distributions import Delta
from FlowCyPy.fluidics.populations import SpherePopulation
from FlowCyPy.units import ureg


def count(seed, per_milliliter, scheme):
    vesicles = SpherePopulation(
        name="EV",
        concentration=per_milliliter * ureg.particle / ureg.milliliter,
        medium_refractive_index=Delta(1.33 * ureg.RIU),
        refractive_index=Delta(1.39 * ureg.RIU),
        diameter=Delta(100 * ureg.nanometer),
    )
    cell = FlowCell(
        width=200 * ureg.micrometer,
        height=100 * ureg.micrometer,
        sample_volume_flow=20 * ureg.microliter / ureg.minute,
        sheath_volume_flow=1 * ureg.milliliter / ureg.minute,
        event_scheme=scheme,
    )
    scatterers = ScattererCollection()
    scatterers.add_population(vesicles)
    run_time = 1 * ureg.millisecond
    expected = (vesicles.concentration * cell.get_sample_volume(run_time)).to("particle").magnitude
    (events,) = Fluidics(scatterers, cell).generate_event_collection(
        run_time, 10 * ureg.megahertz, random_state=seed
    )
    return expected, len(events)


for concentration in 3e8, 1.2e6:
    found = [count(seed, concentration, "uniform-random") for seed in range(30)]
    numbers = {number for _, number in found}
    print(f"FINDING expected {found[0][0]:.2f} particles: 30 seeds give {numbers}")
    assert numbers == {round(found[0][0])}
try:
    count(1, 3e8, "poisson")
except RuntimeError as error:
    print(f"FINDING scheme poisson: RuntimeError: {error}")
else:
    raise SystemExit("Error: the scheme poisson works now")
PYTHON
"$python" -W ignore counts.py 2>&1 | grep -E '^FINDING|Error'
