#!/usr/bin/env bash
# physicell-settings 0.6.3: a substrate without a unit gets its initial and boundary values in mmHg.
#
# Guess: the units of a substrate's initial condition and Dirichlet value are those of the substrate, or none.
# Seen: add_substrate("exosome", ...) writes <variable units="dimensionless"> and, inside it, <initial_condition
#   units="mmHg"> and <Dirichlet_boundary_condition units="mmHg">: the pressure of oxygen, for vesicles.
# Consequence here: what we read from or write to PhysiCell's XML states each unit beside its own value.
. "$(dirname "$0")/lib.sh"
packages physicell-settings==0.6.3

cat >units.py <<'PYTHON'
import xml.etree.ElementTree as ET

from physicell_config import PhysiCellConfig

config = PhysiCellConfig()
config.setup_basic_simulation()
config.substrates.add_substrate("exosome", diffusion_coefficient=394.2, decay_rate=0.0019)
variable = ET.fromstring(config.generate_xml()).find(".//microenvironment_setup/variable[@name='exosome']")
found = variable.get("units"), *(
    variable.find(tag).get("units") for tag in ("initial_condition", "Dirichlet_boundary_condition")
)
print("FINDING units of the substrate, its initial condition, its boundary value:", found)
assert found == ("dimensionless", "mmHg", "mmHg")
PYTHON
"$python" units.py 2>&1 | grep -E '^FINDING|Error'
