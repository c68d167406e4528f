#!/usr/bin/env bash
# simulariumio 1.13.0: the binary form keeps agent ids as 32-bit floats, so that ids above 2^24 run together.
#
# Guess: unique ids are whole numbers and come back as they were written, in JSON and in binary.
# Seen: 16777216, 16777217, 16777219 come back from binary as 16777216, 16777216, 16777220: two agents of one id and
#   one that nobody wrote, although the writer was asked to check that ids are unique. JSON returns them unchanged.
# Consequence here: an export renumbers agents from 0 and keeps the number of each vesicle in a table beside it.
. "$(dirname "$0")/lib.sh"
packages simulariumio==1.13.0 numpy==1.26.4 pandas==3.0.6

cat >ids.py <<'PYTHON'
import numpy as np
from simulariumio import (
    AgentData, BinaryWriter, FileConverter, InputFileData, JsonWriter, MetaData, TrajectoryData, UnitData,
)

ids = np.array([[16777216, 16777217, 16777219]], float)
agents = AgentData(
    times=np.array([0.0]), n_agents=np.array([3]), viz_types=np.full((1, 3), 1000.0), unique_ids=ids,
    types=[["EV"] * 3], positions=np.zeros((1, 3, 3)), radii=np.full((1, 3), 0.04),
)
trajectory = TrajectoryData(
    meta_data=MetaData(box_size=np.full(3, 100.0)), agent_data=agents, time_units=UnitData("s"),
    spatial_units=UnitData("um"),
)
back = {}
for name, writer in (("binary", BinaryWriter), ("json", JsonWriter)):
    writer.save(trajectory, name, True)
    back[name] = FileConverter(InputFileData(f"{name}.simularium"))._data.agent_data.unique_ids[0]
    print("FINDING", name, back[name].astype(int).tolist())
assert back["json"].tolist() == ids[0].tolist()
assert len(set(back["binary"])) == 2 and set(back["binary"]) == {16777216, 16777220}
PYTHON
"$python" ids.py 2>&1 | grep -E '^FINDING|Error'
