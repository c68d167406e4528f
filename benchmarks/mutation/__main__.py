"""Mutation testing of the rooms that compute numbers: see "How to run mutation tests" in CONTRIBUTING.

    python benchmarks/mutation prepare WORK           copy this checkout, note which test calls which function
    python benchmarks/mutation run WORK --count 240   plant a random sample of faults, one at a time
    python benchmarks/mutation run WORK --again --budget 90   the survivors against more tests, or named ones
    python benchmarks/mutation table WORK             the score of each room, and the survivors

numba keeps compiled kernels by the date of their own file, with whatever was inlined into them from others.
So a mutant gets a cache of its own, without the kernels of its file and of all files that hold code of it.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from itertools import product, zip_longest
from pathlib import Path

from operators import Mutant, mutants, walk
from scipy.stats import binomtest

HERE = Path(__file__).resolve().parent
ROOMS = {
    "kernels": ("exoabm/kernels/*.py", 0.3),
    "transport": ("exoabm/transport/*.py", 0.2),
    "cells": ("exoabm/cells/*.py", 0.18),
    "therapy": ("exoabm/therapy/*.py", 0.1),
    "space and accounts": ("exoabm/{domain,accounting/*}.py", 0.1),
    "batch": ("exoabm/batch/**/*.py", 0.12),
}
"""Files of each room, and its share of the sample."""
LEFT_OUT = "report_texts.py", "report_charts.py"
"""Files of texts and drawings."""
TESTS = "kernels therapy transport cells batch engines physics invariants analysis output/test_recorder.py \
scenario/test_layouts.py scenario/test_step_accuracy.py \
scenario/test_grid_accuracy.py accounting test_random_streams.py test_vesicle_ids.py mesa".split()
PER_SECOND = 3
"""Tests at most for each second of them; the compiler takes longer than most of them."""
PATIENCE = 4.0, 200.0
"""A mutant has this many times that time, and seconds more to compile; after that it hangs, and is killed."""
MEMORY = 10 << 30
"""Bytes of address space of a mutant's tests."""


def environment(work: Path, cache: str) -> dict[str, str]:
    """That of the tests: the copy comes before what is installed."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return kept | {
        "PYTHONPATH": f"{work / 'tree'}{os.pathsep}{HERE}", "PYTHONPYCACHEPREFIX": str(work / "pyc"),
        "NUMBA_CACHE_DIR": str(work / cache), "NUMBA_NUM_THREADS": "1", "MPLBACKEND": "Agg",
        "MUTATION_CALLS": str(work / "calls.jsonl"),
    }  # fmt: skip


def pytest(work: Path, cache: str, *arguments: str, limit: float | None = None) -> tuple[str, str]:
    """Run pytest in the copy; returns "passed", "failed" or "hung", and the end of what it printed."""
    options = "-q -n 0 -p no:cacheprovider --no-header".split()
    command = [sys.executable, "-m", "pytest", *options, *arguments]
    process = subprocess.Popen(
        command, cwd=work / "tree", env=environment(work, cache), text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        preexec_fn=lambda: limit and resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
    )  # fmt: skip
    try:
        printed, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return "hung", ""
    return "failed" if process.returncode else "passed", printed[-3000:]


def prepare(work: Path, tests: list[str]) -> None:
    """Copy the checkout, committed or not, and note what each test of it calls."""
    root, tree = HERE.parents[1], work / "tree"
    shutil.copytree(root, tree, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    for name in ("scenarios", "viz"):
        (tree / "exoabm" / name).symlink_to(tree / name)
    paths = tests or [f"tests/{name}" for name in TESTS]
    quick = "not slow and not packaging and not browser"
    print(pytest(work, "numba", "-p", "calls", "-m", quick, *paths)[1])


def names_in(node: ast.AST) -> set[str]:
    """Every name that a piece of code speaks of."""
    found = (n for n in ast.walk(node) if isinstance(n, ast.Name | ast.Attribute))
    return {n.id if isinstance(n, ast.Name) else n.attr for n in found}


def kernels_in(module: ast.Module) -> set[str]:
    """Stems of the kernels' files that a module imports, or imports names from."""
    lines = [n for n in ast.walk(module) if isinstance(n, ast.ImportFrom)]
    lines = [n for n in lines if (n.module or "").startswith("exoabm.kernels")]
    return {n.module.split(".")[-1] for n in lines} | {alias.name for n in lines for alias in n.names}


class Calls:
    """Which tests reach a function; compiled ones by name, through all that speak of them."""

    def __init__(self, work: Path, budget: float) -> None:
        self.tree, self.budget = work / "tree", budget
        rows = [json.loads(line) for line in (work / "calls.jsonl").read_text().splitlines()]
        self.seconds = {row["test"]: row["seconds"] for row in rows if row["passed"]}
        self.tests_of: dict[str, set[str]] = defaultdict(set)
        kernels: dict[tuple[str, str], str] = {}  # by file and name
        speaks: dict[str, set[tuple[str, str]]] = {}  # kernels that a function may call, and other such pairs
        for path in [*self.tree.glob("exoabm/**/*.py"), *self.tree.glob("tests/**/*.py")]:
            module = ast.parse(path.read_text())
            near = {path.stem, *kernels_in(module)}
            for node, scope, _ in walk(module):
                if isinstance(node, ast.FunctionDef):
                    key = f"{path.relative_to(self.tree)}:{f'{scope}.' if scope else ''}{node.name}"
                    speaks[key] = set(product(near, names_in(node)))
                    if "njit" in " ".join(map(ast.unparse, node.decorator_list)):
                        kernels[path.stem, node.name] = key
        calls = {key: {kernels[pair] for pair in kernels.keys() & pairs} for key, pairs in speaks.items()}
        for row in rows:
            reached: set[str] = set()
            new = calls.keys() & row["calls"] if row["passed"] else set()
            while new:
                reached |= new
                new = set().union(*(calls[key] for key in new)) - reached
            for key in reached:
                self.tests_of[key].add(row["test"])

    def of(self, mutant: Mutant) -> list[str]:
        """The tests that a mutant is put to: of every test function the quickest case, then the next, ..."""
        key = f"{mutant.path}:{mutant.function}"
        found = self.tests_of.get(key, set())
        if mutant.at_import:
            found = set().union(*(v for k, v in self.tests_of.items() if k.startswith(f"{mutant.path}:")))
        cases: dict[str, list[str]] = defaultdict(list)
        for test in sorted(found, key=self.seconds.__getitem__):
            cases[test.partition("[")[0]].append(test)
        in_turn = [test for row in zip_longest(*cases.values()) for test in row if test]
        chosen, left = [], self.budget
        for test in in_turn[: int(PER_SECOND * self.budget)]:
            if self.seconds[test] <= left or not chosen:
                chosen.append(test)
                left -= self.seconds[test]
        weight: dict[str, float] = defaultdict(float)  # files stay together, for the sake of their fixtures
        for test in chosen:
            weight[test.partition("::")[0]] += self.seconds[test]
        return sorted(chosen, key=lambda test: (weight[test.partition("::")[0]], test.partition("::")[0]))


def importers(tree: Path, path: str) -> set[str]:
    """Stems of the kernels' files that hold code of this file."""
    uses: dict[str, set[str]] = {}
    for file in tree.glob("exoabm/kernels/*.py"):
        uses[file.stem] = kernels_in(ast.parse(file.read_text()))
    reached: set[str] = set()
    new = {Path(path).stem} if "/kernels/" in path else set()
    while new:
        reached |= new
        new = {stem for stem, names in uses.items() if names & new} - reached
    return reached


def own_cache(work: Path, stale: set[str]) -> None:
    """Make ``mutant-numba``: links to the compiled kernels of all files but these."""
    shutil.rmtree(work / "mutant-numba", ignore_errors=True)
    for file in (work / "numba").rglob("*.nb?"):
        if file.name.partition(".")[0] not in stale:
            link = work / "mutant-numba" / file.relative_to(work / "numba")
            link.parent.mkdir(parents=True, exist_ok=True)
            os.link(file, link)


def sample(tree: Path, count: int, seed: int) -> list[Mutant]:
    """Mutants by room; in each a line by chance, then an operator that fits, then one of its mutants."""
    chance, chosen = random.Random(seed), []
    for room, (pattern, share) in ROOMS.items():
        lines: dict[tuple[str, int], dict[str, list[Mutant]]] = {}
        for path in files(tree, pattern):
            for mutant in mutants(path, (tree / path).read_text()):
                lines.setdefault((path, mutant.line), {}).setdefault(mutant.operator, []).append(mutant)
        places, wanted = sorted(lines), round(share * count)
        chance.shuffle(places)
        print(f"{room}: {wanted} of {len(places)} lines", file=sys.stderr)
        while wanted and places:
            operators = lines[places.pop()]
            mutant = chance.choice(operators[chance.choice(sorted(operators))])
            if "TYPE_CHECKING" in mutant.new:
                continue
            with contextlib.suppress(SyntaxError):
                ast.parse(mutant.apply((tree / mutant.path).read_bytes()))
                chosen.append(mutant)
                wanted -= 1
    chance.shuffle(chosen)
    return chosen


def files(tree: Path, pattern: str) -> list[str]:
    """Files of a room, relative to the tree."""
    head, _, rest = pattern.partition("{")
    names, _, tail = rest.partition("}")
    found = [p for name in names.split(",") for p in tree.glob(f"{head}{name}{tail}")]
    return sorted(path for p in found if not (path := str(p.relative_to(tree))).endswith(LEFT_OUT))


def put_to_test(work: Path, mutant: Mutant, tests: list[str], seconds: float) -> tuple[str, str]:
    """Plant a mutant, run the tests, and put the file back as it was, its date included."""
    path = work / "tree" / mutant.path
    sound, dates = path.read_bytes(), path.stat()
    own_cache(work, importers(work / "tree", mutant.path))
    try:
        path.write_bytes(mutant.apply(sound))
        return pytest(work, "mutant-numba", "-x", *tests, limit=PATIENCE[0] * seconds + PATIENCE[1])
    finally:
        path.write_bytes(sound)
        os.utime(path, ns=(dates.st_atime_ns, dates.st_mtime_ns))


def run(work: Path, count: int, seed: int, budget: float, again: list[str] | None) -> None:
    """Try a sample, or the survivors once more; a line of ``results.jsonl`` each, the last one counts."""
    done, calls = results(work), Calls(work, budget)
    chosen = sample(work / "tree", count, seed)
    if again is not None:
        chosen = [m for m in chosen if done.get(str(m), {}).get("fate") == "passed"]
    for reached in [mutant for mutant in chosen if again or calls.of(mutant)][:1]:
        sound = reached._replace(start=0, end=0, new="")
        if (found := put_to_test(work, sound, again or calls.of(reached)[:5], budget))[0] != "passed":
            sys.exit(f"tests fail on the code as it is:\n{found[1]}")
    for mutant in chosen:
        if str(mutant) in done and again is None:
            continue
        tests, begin = again or calls.of(mutant), time.perf_counter()
        seconds = sum(calls.seconds.get(test, budget) for test in tests)
        fate, printed = put_to_test(work, mutant, tests, seconds) if tests else ("passed", "unreached")
        text = (work / "tree" / mutant.path).read_bytes()
        killer = next((line for line in printed.splitlines() if line.startswith(("FAILED", "ERROR"))), "")
        row = mutant._asdict() | {
            "name": str(mutant), "fate": fate, "tests": len(tests), "killer": killer,
            "seconds": round(time.perf_counter() - begin, 1), "was": text[mutant.start : mutant.end].decode(),
        }  # fmt: skip
        with (work / "results.jsonl").open("a") as out:
            out.write(json.dumps(row) + "\n")
        place = f"{mutant.path}:{mutant.line} {mutant.operator}"
        print(f"{fate} {row['seconds']} s {place} | {row['was']} → {mutant.new} | {killer[:100]}", flush=True)


def results(work: Path) -> dict[str, dict]:
    """The last result of each mutant."""
    path = work / "results.jsonl"
    rows = map(json.loads, path.read_text().splitlines()) if path.exists() else ()
    return {row["name"]: row for row in rows}


def table(work: Path) -> None:
    """Print the score of each room with its 95 % interval (Clopper and Pearson), and the survivors."""
    rows = list(results(work).values())
    for room, (pattern, _) in [*ROOMS.items(), ("all", ("", 1.0))]:
        inside = set(files(work / "tree", pattern)) if pattern else {row["path"] for row in rows}
        fates = [row["fate"] != "passed" for row in rows if row["path"] in inside]
        if fates:
            killed, all_ = sum(fates), len(fates)
            low, high = binomtest(killed, all_).proportion_ci()
            print(f"| {room} | {all_} | {killed} | {killed / all_:.0%} | {low:.0%} to {high:.0%} |")
    for row in sorted(rows, key=lambda row: (row["path"], row["line"])):
        if row["fate"] == "passed":
            print(f"| {row['path']}:{row['line']} | {row['operator']} | `{row['was']}` → `{row['new']}` |")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("prepare", "run", "table"))
    parser.add_argument("work", type=Path)
    parser.add_argument("--count", type=int, default=240)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--budget", type=float, default=12.0, help="seconds of tests a mutant, quickest first"
    )
    parser.add_argument("--again", nargs="*", metavar="TEST", help="survivors only, against these or all")
    parser.add_argument("--tests", nargs="+", default=[], metavar="TEST")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the file is put back
    given = parser.parse_args()
    work = given.work.resolve()
    if given.what == "prepare":
        prepare(work, given.tests)
    elif given.what == "run":
        run(work, given.count, given.seed, given.budget, given.again)
    else:
        table(work)


if __name__ == "__main__":
    main()
