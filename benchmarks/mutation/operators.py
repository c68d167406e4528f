"""Mutants of a module: small faults, each planted at one place of its text.

What changes no number is left alone: docstrings, annotations, decorators, imports, error texts, strings.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

SWAPS: dict[type, type] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
    ast.Mod: ast.FloorDiv, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.LShift: ast.RShift,
    ast.RShift: ast.LShift, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
}  # fmt: skip
CLAMPS = {"min", "max", "minimum", "maximum", "clip"}
SYMMETRIC = {"hypot", "isclose", "dot", "array_equal", "isinstance"}
FACTOR = 1.05
"""A float constant becomes this many times as large; 0 becomes 1."""
LEFT_ALONE = ast.Import, ast.ImportFrom, ast.Raise, ast.Assert, ast.JoinedStr


class Mutant(NamedTuple):
    """One fault: bytes ``start`` to ``end`` of the file become ``new``."""

    path: str
    function: str
    """Qualified name of the innermost function or class; empty for the module itself."""
    at_import: bool
    """Whether it stands in no function, so that it is run once, and by no test."""
    line: int
    operator: str
    start: int
    end: int
    new: str

    def apply(self, text: bytes) -> bytes:
        """The file with the fault."""
        return text[: self.start] + self.new.encode() + text[self.end :]


def _variants(node: ast.AST) -> Iterator[tuple[str, ast.AST, ast.AST]]:
    """Operator, node to be replaced, and what by."""
    match node:
        case ast.BinOp(left, op, right):
            if type(op) in SWAPS:
                yield "arithmetic", node, ast.BinOp(left, SWAPS[type(op)](), right)
            if isinstance(op, ast.Add | ast.Sub | ast.Mult | ast.Div):
                yield "dropped term", node, left
            if isinstance(op, ast.Add | ast.Mult):
                yield "dropped term", node, right
        case ast.AugAssign(target, op, value):
            if type(op) in SWAPS:
                yield "arithmetic", node, ast.AugAssign(target, SWAPS[type(op)](), value)
            yield "dropped statement", node, ast.Pass()
        case ast.Compare(left, ops, others):
            for k, op in enumerate(ops):
                if type(op) in SWAPS:
                    changed = [*ops[:k], SWAPS[type(op)](), *ops[k + 1 :]]
                    yield "comparison", node, ast.Compare(left, changed, others)
        case ast.BoolOp(op, values):
            for k in range(len(values)):
                rest = values[:k] + values[k + 1 :]
                yield "dropped condition", node, ast.BoolOp(op, rest) if len(rest) > 1 else rest[0]
        case ast.UnaryOp(ast.Not() | ast.USub() | ast.Invert(), operand):
            yield "dropped sign", node, operand
        case ast.Constant(bool(value)):
            yield "constant", node, ast.Constant(not value)
        case ast.Constant(int(value)):
            yield "constant", node, ast.Constant(value + 1)
            yield "constant", node, ast.Constant(value - 1)
        case ast.Constant(float(value)):
            yield "constant", node, ast.Constant(value * FACTOR if value else 1.0)
        case ast.If(test) | ast.IfExp(test) | ast.While(test):
            yield "negated condition", test, ast.UnaryOp(ast.Not(), test)
        case ast.Call(func, args):
            name = getattr(func, "attr", getattr(func, "id", ""))
            if name in CLAMPS and len(args) > 1:
                for kept in args[: 1 if name == "clip" else 2]:
                    yield f"removed {name}", node, kept
            elif name not in SYMMETRIC:
                for changed in _exchanged(args):
                    yield "swapped arguments", node, ast.Call(func, changed, node.keywords)
        case ast.Subscript(value, ast.Tuple(elts), ctx):
            for changed in _exchanged(elts):
                yield "swapped indices", node, ast.Subscript(value, ast.Tuple(changed, ast.Load()), ctx)
        case ast.Assign(targets) if all(isinstance(t, ast.Subscript | ast.Attribute) for t in targets):
            yield "dropped statement", node, ast.Pass()
        case ast.Expr(ast.Call()) | ast.Continue():
            yield "dropped statement", node, ast.Pass()


def _exchanged(nodes: list[ast.expr]) -> Iterator[list[ast.expr]]:
    """A list with two neighbors exchanged, for all that are not constants."""
    for k, pair in enumerate(pairwise(nodes)):
        if not any(isinstance(x, ast.Starred | ast.Constant) for x in pair):
            yield [*nodes[:k], *reversed(pair), *nodes[k + 2 :]]


def walk(node: ast.AST, scope: tuple[str, ...] = (), inside: bool = False) -> Iterator[tuple]:
    """Every node that is not left alone, with its scope and whether that is in a function."""
    yield node, ".".join(scope), inside
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        scope = (*scope, node.name)
        inside |= isinstance(node, ast.FunctionDef)
    for name, value in ast.iter_fields(node):
        if name not in ("annotation", "returns", "decorator_list", "bases"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST) and not isinstance(child, LEFT_ALONE):
                    yield from walk(child, scope, inside)


def mutants(path: str, text: str) -> Iterator[Mutant]:
    """All mutants of a module; a few are no Python."""
    begin = [0]
    for line in text.encode().splitlines(keepends=True):
        begin.append(begin[-1] + len(line))
    for node, scope, inside in walk(ast.parse(text)):
        for operator, old, new in _variants(node):
            start, end = (
                begin[old.lineno - 1] + old.col_offset,
                begin[old.end_lineno - 1] + old.end_col_offset,
            )
            words = ast.unparse(ast.fix_missing_locations(new))
            words = words if isinstance(new, ast.stmt) else f"({words})"
            yield Mutant(path, scope, not inside, old.lineno, operator, start, end, words)
