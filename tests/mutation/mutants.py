"""Small mistakes, planted one at a time into the functions of a module.

A mutant is one change of one expression or statement: a comparison or an operation becomes its neighbour, a condition
is turned round, a number is one more, a text is another, a result is forgotten, a call is left out. The words of errors
are left alone, and so are types, defaults and decorators, which are not part of a function's code.
"""

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, NamedTuple

from tests.support.tree import SOURCE

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OPERATED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_CALLED = {"max": "min", "min": "max", "any": "all", "all": "any"}

_Change = Callable[[], None]  # Makes the mistake in place.


class Mutant(NamedTuple):
    """A changed function. name: what tells it from all others of its module, whatever lines stand before it."""

    path: Path
    function: str
    line: int
    name: str
    code: CodeType


def mutants_of(path: Path) -> Iterator[Mutant]:
    """Every mutant of the functions and methods of a module, in the order of its text."""
    source = path.read_text()
    names = Counter[str]()
    for number, (function, node) in enumerate(_places(ast.parse(source))):
        for which, _ in enumerate(_changes(node)):
            tree = ast.parse(source)
            changed = _places(tree)[number][1]
            list(_changes(changed))[which]()
            name = f"{function}: {_short(node)} → {_short(ast.fix_missing_locations(changed))}"
            names[name] += 1
            if names[name] > 1:
                name += f" ({names[name]})"
            found = code_of(compile(tree, str(path), "exec"), function)
            yield Mutant(path, function, getattr(node, "lineno", 0), name, found)


def noted(path: Path) -> Iterator[tuple[str, CodeType]]:
    """(name, code) of every function of a module, beginning with a call of a builtin: `note_call(path, name)`."""
    tree = ast.parse(path.read_text())
    for name, function in _functions(tree):
        call = ast.Call(ast.Name("note_call", ast.Load()), [ast.Constant(str(path)), ast.Constant(name)], [])
        function.body.insert(0, ast.Expr(call))
    code = compile(ast.fix_missing_locations(tree), str(path), "exec")
    for name, _ in _functions(tree):
        yield name, code_of(code, name)


def _places(tree: ast.Module) -> list[tuple[str, ast.AST]]:
    """(qualified name of the outermost function, node in its body) in one order for equal sources."""
    return [(name, node) for name, function in _functions(tree) for node in _inside(function)]


def _functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef):
            yield statement.name, statement
        elif isinstance(statement, ast.ClassDef):
            for inner in statement.body:
                if isinstance(inner, ast.FunctionDef):
                    yield f"{statement.name}.{inner.name}", inner


def _inside(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """The nodes of a body that count: no docstrings, no types, no words of errors."""
    waiting: list[ast.AST] = list(reversed(function.body))
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        yield node
        if isinstance(node, ast.Raise):
            continue
        if isinstance(node, ast.Assert):
            children: list[ast.AST] = [node.test]
        elif isinstance(node, ast.AnnAssign):
            children = [node.value] if node.value else []
        elif isinstance(node, ast.FunctionDef):
            children = list(node.body)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
            children = []
        else:
            children = list(ast.iter_child_nodes(node))
        waiting += reversed(children)


def _changes(node: ast.AST) -> Iterator[_Change]:
    """The mistakes that can be made at a node."""
    match node:
        case ast.Compare():
            for place, operator in enumerate(node.ops):
                yield _replacing(node.ops, place, _COMPARED[type(operator)]())
        case ast.comprehension():
            for place, test in enumerate(node.ifs):
                yield _replacing(node.ifs, place, ast.UnaryOp(ast.Not(), test))
        case ast.If() | ast.IfExp() | ast.While():
            yield _setting(node, "test", ast.UnaryOp(ast.Not(), node.test))
        case ast.Return(value=ast.Constant(value=None)):
            return
        case ast.Return(value=ast.expr()) | ast.Expr(value=ast.Call()):
            yield _setting(node, "value", ast.Constant(None))
        case ast.Call(func=ast.Name(id=called)) if called in _CALLED:
            yield _setting(node.func, "id", _CALLED[called])
        case ast.Constant(value=value) if value is not None and value is not ...:
            yield _setting(node, "value", _other(value))
        case _:
            yield from _operations(node)


def _operations(node: ast.AST) -> Iterator[_Change]:
    if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in _OPERATED:
        yield _setting(node, "op", _OPERATED[type(node.op)]())
    elif isinstance(node, ast.BoolOp):
        yield _setting(node, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield _setting(node, "op", ast.UAdd())


def _other(value: object) -> object:
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case bytes():
            return value + b"?"
        case _:
            return f"{value}?"


def _setting(node: ast.AST, field: str, value: object) -> _Change:
    return lambda: setattr(node, field, value)


def _replacing(held: list[ast.cmpop] | list[ast.expr], place: int, new: ast.AST) -> _Change:
    return lambda: held.__setitem__(place, new)  # type: ignore[call-overload]


def _short(node: ast.AST) -> str:
    line = " ".join(ast.unparse(node).split())
    return line if len(line) <= 70 else line[:69] + "…"


def put(path: Path, function: str, code: CodeType) -> None:
    """Gives a function of a module below src/entrepot other code, wherever it is known by name."""
    module = import_module(".".join(("entrepot", *path.relative_to(SOURCE).with_suffix("").parts)))
    found: Any = module
    for part in function.split("."):
        found = vars(found)[part]
    for wrapper in ("fget", "__func__", "__wrapped__"):
        found = getattr(found, wrapper, found)
    assert isinstance(found, FunctionType), function
    found.__code__ = code


def code_of(code: CodeType, function: str) -> CodeType:
    """The code of a function, by its qualified name, in that of its module."""
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            if inner.co_qualname == function:
                return inner
            if function.startswith(inner.co_qualname + "."):
                return code_of(inner, function)
    raise KeyError(function)
