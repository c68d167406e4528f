#!/usr/bin/env bash
# simulariumio 1.13.0: a trajectory that is read names more types in a frame than the frame has agents.
#
# Guess: `types[i]` of a file that is read has `n_agents[i]` names, as it had when it was written.
# Seen: frames of 1 and 3 agents come back with 3 names each. Those behind `n_agents[i]` are the name of type id 0: the
#   padding of the buffers is taken for agents. To count agents by the names of a frame gives wrong numbers, in silence.
# Consequence here: exports are checked by the names up to `n_agents`.
. "$(dirname "$0")/lib.sh"
packages simulariumio==1.13.0 numpy==1.26.4 pandas==3.0.6

cat >count_types.py <<'PYTHON'
import numpy as np
from simulariumio import AgentData, FileConverter, InputFileData, JsonWriter, MetaData, TrajectoryData, UnitData

types = [["donor"], ["donor", "vesicle", "vesicle"]]
agents = AgentData(
    times=np.array([0.0, 1.0]), n_agents=np.array([1, 3]), viz_types=np.full((2, 3), 1000.0),
    unique_ids=np.tile(np.arange(3.0), (2, 1)), types=types, positions=np.zeros((2, 3, 3)), radii=np.full((2, 3), 0.1),
)
trajectory = TrajectoryData(
    meta_data=MetaData(box_size=np.full(3, 100.0)), agent_data=agents, time_units=UnitData("s"),
    spatial_units=UnitData("um"),
)
JsonWriter.save(trajectory, "two_frames", True)
read = FileConverter(InputFileData("two_frames.simularium"))._data.agent_data
print("written", types)
print("read   ", [list(names) for names in read.types], "agents", read.n_agents.tolist())
assert read.n_agents.tolist() == [1, 3]
assert [list(names) for names in read.types] != types, "simulariumio has changed: the names of a frame are its agents'"
assert list(read.types[0]) == ["donor", "donor", "donor"]
PYTHON
"$python" count_types.py
