"""The benchmark of living cells measures what it says, on few cells."""

from __future__ import annotations

from exoabm.benchmarks.cells import DIAMETER, _Crowd, rows, world


def test_both_engines_are_measured_beside_the_agents() -> None:
    found = rows((64,), steps=1)
    assert [row["engine"] for row in found] == ["continuum", "vesicles"]
    for row in found:
        assert row["cells"] == 64
        assert row["cells ms"] >= 0
        assert row["faster"].endswith(" x")


def test_the_agents_follow_the_same_rules() -> None:
    """Bodies apart, as many born as died, all what they took up on its way."""
    model = world("continuum", 512)
    crowd = _Crowd(model.state)
    for agent in crowd.agents:
        assert crowd.free(agent.place, agent)
    crowd.fate = 0.2
    for _ in range(10):
        crowd.step()
    assert 300 < len(crowd.agents) < 800
    agents = list(crowd.agents)
    for agent in agents:
        assert crowd.free(agent.place, agent)
        assert all(0 <= x <= length for x, length in zip(agent.place, crowd.extent, strict=True))
    assert sum(len(inside) for inside in crowd.bins.values()) == len(agents)
    oldest = agents[0]
    held = oldest.bound + oldest.endosomal
    assert 0 < held < 1
    assert model.state.types[0].diameter == DIAMETER
