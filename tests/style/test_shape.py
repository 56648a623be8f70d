"""How files and functions look: short, typed, explained, quiet."""

from __future__ import annotations

import ast
import statistics

import pytest

from tests.style.tree import PRODUCT, Module, length, modules

ALL = modules(*PRODUCT, "lab", "tests")
OURS = modules(*PRODUCT)


def ids(module: Module) -> str:
    return module.place


@pytest.mark.parametrize("module", ALL, ids=ids)
def test_no_file_is_longer_than_400_lines(module: Module) -> None:
    assert module.lines <= 400


@pytest.mark.parametrize("module", modules(*PRODUCT, "lab"), ids=ids)
def test_no_function_is_longer_than_60_lines(module: Module) -> None:
    long = {f"{module.place}:{f.lineno} {f.name}": length(f) for f in module.functions()}
    assert {where: lines for where, lines in long.items() if lines > 60} == {}


def test_functions_are_short() -> None:
    lengths = sorted(length(f) for module in OURS for f in module.functions())
    assert statistics.median(lengths) <= 8
    assert lengths[int(len(lengths) * 0.95)] <= 35


@pytest.mark.parametrize("module", OURS, ids=ids)
def test_what_is_public_is_explained(module: Module) -> None:
    bare = [
        f"{module.place}:{node.lineno} {node.name}"
        for node in _public(module.tree)
        if ast.get_docstring(node) is None
    ]
    assert bare == []
    assert ast.get_docstring(module.tree) or not module.text.strip(), "the module says nothing"


Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def _public(tree: ast.Module) -> list[Definition]:
    """Public functions and classes, and the public methods of public classes."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    found: list[Definition] = []
    for node in tree.body:
        if isinstance(node, kinds) and not node.name.startswith("_"):
            found.append(node)
            if isinstance(node, ast.ClassDef):
                found += [
                    inner
                    for inner in node.body
                    if isinstance(inner, kinds)
                    and not inner.name.startswith("_")
                    and "property" not in _decorators(inner)
                ]
    return found


def _decorators(node: Definition) -> set[str]:
    return {d.id for d in node.decorator_list if isinstance(d, ast.Name)}


@pytest.mark.parametrize("module", ALL, ids=ids)
def test_dataclasses_are_frozen(module: Module) -> None:
    thawed = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef):
            for decorator in node.decorator_list:
                text = ast.unparse(decorator)
                if text.startswith("dataclass") and "frozen=True" not in text:
                    thawed.append(f"{module.place}:{node.lineno} {node.name}")
    assert thawed == []


#: The outermost loop of each process, where a fault of ours is logged and life goes on.
OUTERMOST = {
    "worker/ffmpeg_worker/main.py": 1,
    "worker/ffmpeg_worker/launcher.py": 1,
    "master/ffmpeg_master/app.py": 1,
    "master/ffmpeg_master/housekeeping.py": 1,
}


@pytest.mark.parametrize("module", OURS, ids=ids)
def test_only_the_outermost_loop_catches_everything(module: Module) -> None:
    broad = [
        node
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in ("Exception", "BaseException"))
    ]
    assert len(broad) <= OUTERMOST.get(module.place, 0)


@pytest.mark.parametrize("module", OURS, ids=ids)
def test_a_log_call_is_a_constant_event_with_values(module: Module) -> None:
    levels = {"debug", "info", "warning", "error", "exception", "critical"}
    bad = [
        f"{module.place}:{node.lineno} {ast.unparse(node)}"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in levels
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "log"
        and not (len(node.args) == 1 and isinstance(node.args[0], ast.Constant))
    ]
    assert bad == []


@pytest.mark.parametrize("module", ALL, ids=ids)
def test_nothing_is_left_unfinished(module: Module) -> None:
    marks = ("TO" + "DO", "FIX" + "ME", "XX" + "X", "NotImplemented" + "Error")
    found = [
        f"{module.place}:{number} {line.strip()}"
        for number, line in enumerate(module.text.splitlines(), 1)
        if any(mark in line for mark in marks)
    ]
    assert found == []


@pytest.mark.parametrize("module", ALL, ids=ids)
def test_an_ignored_type_says_why(module: Module) -> None:
    mute = [
        f"{module.place}:{number}"
        for number, line in enumerate(module.text.splitlines(), 1)
        if "# type: " + "ignore" in line and line.count("#") < 2
    ]
    assert mute == []


@pytest.mark.parametrize("module", modules("tests"), ids=ids)
def test_tests_use_the_real_thing(module: Module) -> None:
    assert not {name for name in module.imports() if name.startswith("unittest")}
