"""Small scenarios in which mechanisms meet by chance: a seed names one."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from worlds import toml

from exoabm.scenario.loader import LoadedScenario, parse

ENGINES = ("types", "cells", "voxel", "membrane")
PLANES = "xyz"


class Draw(random.Random):
    """Coins and picks."""

    def on(self, chance: float = 0.4) -> bool:
        return self.random() < chance

    def pick(self, *options: Any) -> Any:
        return self.choice(options)


def scenario(seed: int, engine: str) -> dict[str, Any]:
    """All tables of a scenario, as plain data."""
    draw = Draw(f"{seed} {engine}")
    cargo = [{"name": "mir", "copies": draw.pick(0.5, 3, 20), "half_life": draw.pick("1 h", "inf")}]
    cargo += [{"name": "junk", "role": "waste", "copies": 4}] if draw.on(0.6) else []
    vesicles = [vesicle(draw, i, [c["name"] for c in cargo]) for i in range(draw.pick(1, 2, 3))]
    names = ["a", "b", "c"][: draw.pick(1, 2, 3)]
    rows: list[dict[str, Any]] = []
    types = [cell_type(draw, name, names, vesicles, engine, rows) for name in names]
    tables = {
        "info": {"title": "a chance meeting"},
        "domain": domain(draw),
        "clock": {"step": draw.pick("20 s", "60 s", "2 min")},
        "transport": transport(engine) | ({"hindrance": 0.3} if draw.on(0.2) else {}),
        "cargo": cargo,
        "vesicle": vesicles,
        "cell_type": types,
        "layout": {"group": [{"cell_type": n, "count": draw.randint(1, 3), "spacing": 20} for n in names]},
    }
    if rows:
        tables["response"] = rows
    if draw.on(0.3):
        tables["mechanics"] = {"relaxation": "20 / h"}
    if draw.on():
        way = draw.pick({"through": names[0]}, {"face": "x_low", "reach": "1 mm"})
        tables["dose"] = [{"name": "shot", "vesicle": "ev0", "route": "tissue", "particles": 500} | way]
    return tables


def loaded(tables: dict[str, Any]) -> LoadedScenario:
    text = "\n".join(f"{name} = {toml(table)}" for name, table in tables.items())
    return parse(text.encode(), name="chance", folder=Path())


def transport(engine: str) -> dict[str, str]:
    if engine in ("voxel", "membrane"):
        return {"engine": "vesicles", "capture": engine}
    return {"engine": "continuum", "provenance": "cell" if engine == "cells" else "cell_type"}


def domain(draw: Draw) -> dict[str, Any]:
    size = [10 * draw.randint(8, 11) for _ in range(2)]
    if draw.on(0.3):
        size = [10 * draw.randint(6, 8) for _ in range(3)]
    faces = {}
    for axis in PLANES[: len(size)]:
        ends = [draw.pick("no-flux", "open", {"concentration": "1e9 / mL"}) for _ in range(2)]
        faces |= {axis: "periodic"} if draw.on(0.3) else {f"{axis}_low": ends[0], f"{axis}_high": ends[1]}
    zones: list[dict[str, Any]] = []
    if draw.on():
        zones.append({"name": "gel", "low": [0] * len(size), "high": [s / 2 for s in size], "hindrance": 0.1})
    if draw.on():
        zones.append({"name": "bone", "low": [20] * len(size), "high": [40] * len(size), "obstacle": True})
    return {"size": size, "thickness": draw.pick(10, 20), "faces": faces, "zone": zones}


def vesicle(draw: Draw, number: int, cargo: list[str]) -> dict[str, Any]:
    table = {
        "name": f"ev{number}",
        "diameter_gsd": draw.pick(1, 1.8),
        "half_life": draw.pick("10 min", "6 h", "inf"),
        "unbinding_rate": draw.pick("0 / h", "20 / h"),
        "internalization_rate": draw.pick("6 / h", "60 / h"),
        "processing_rate": draw.pick("0 / h", "30 / h"),
        "recycling_probability": draw.pick(0, 0.4, 1),
        "delivery_probability": draw.pick(0, 0.5, 1),
        "delivery_route": draw.pick("endosomal_escape", "membrane_fusion"),
        "cargo": [name for name in cargo if draw.on(0.7)],
    }
    return table | ({"ligand": "L", "binding_rate": "1 um^3/s"} if draw.on() else {})


def cell_type(
    draw: Draw,
    name: str,
    names: list[str],
    vesicles: list[dict[str, Any]],
    engine: str,
    rows: list[dict[str, Any]],
) -> dict[str, Any]:
    """A type of cell; ``rows`` gets its responses."""
    kinds = [table["name"] for table in vesicles]
    table: dict[str, Any] = {
        "name": name,
        "diameter": draw.pick(9, 15),
        "secretion": draw.pick("mean", "poisson"),
    }

    def respond(verb: str, behavior: str, to: Any) -> None:
        signal, half = draw.pick(("cargo.mir", 2), ("age", "2 min"), ("bound.ev0", 2), ("endosomal.ev0", 2))
        row = {"cell_type": name, "signal": signal, "half_max": half, verb: behavior, "to": to}
        rows.append(row | {"hill": draw.pick(1, 3)})

    if draw.on(0.7):
        table |= {"releases": draw.pick(*kinds), "release_rate": "2000 / h"}
        if draw.on(0.3):
            respond(
                *draw.pick(("increases", "release_rate", "4000 / h"), ("decreases", "release_rate", "0 / h"))
            )
        if draw.on(0.3):
            table["mvb"] = {"number": 3.5, "fate_rate": "60 / h"}
    if draw.on(0.7):
        table |= {"takes_up": kinds, "uptake_rate": "100 um^3/s", "saturation": draw.pick("inf", "0.1 pM")}
        if draw.on(0.3):
            respond(*draw.pick(("increases", "uptake_rate", "400 um^3/s"), ("decreases", "uptake_rate", 1)))
    if draw.on():
        table["receptor"] = [{"name": "L", "number": 50}]
    if draw.on(0.3):
        table |= {"recycling_probability": 0.6, "delivery_probability": 0.3}
    carriers = [v["name"] for v in vesicles if "junk" in v["cargo"]]
    if carriers and draw.on(0.6):
        table["waste"] = {"vesicle": carriers[0], "production": "600 / h", "export_rate": "30 / h"}
    if draw.on():
        held = {
            "cargo": "mir",
            "initial": 7.5,
            "production": "60 / h",
            "replication": "6 / h",
            "capacity": 50,
        }
        carriers = [v["name"] for v in vesicles if "mir" in v["cargo"]]
        table["holds"] = [held | ({"vesicle": carriers[0], "export": "30 / h"} if carriers else {})]
    lives = {
        "division_rate": "20 / h",
        "death_rate": "15 / h",
        "motility": "2000 um^2/h",
        "transformation": {"into": names[-1], "rate": "20 / h"},
        "climbs": {"vesicle": "ev0", "coefficient": "5000 um^2/h", "half_max": "1e8 / mL"},
    }
    if engine == "membrane":
        lives["follows"] = {"vesicle": "ev0", "speed": "60 um/h", "half_max": 5}
    if name == names[-1]:
        del lives["transformation"]
    for key, value in lives.items():
        if draw.on(0.3) and not (key == "follows" and "climbs" in table):
            table[key] = value
    return table
