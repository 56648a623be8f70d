"""The source as the style tests see it: parsed once."""

from __future__ import annotations

import ast
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRODUCT = ("jobs", "worker", "master")


@dataclass(frozen=True)
class Module:
    """One Python file of ours."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def place(self) -> str:
        """Its path from the root of the repository."""
        return str(self.path.relative_to(ROOT))

    @property
    def name(self) -> str:
        """Its import name: ffmpeg_worker.attempt."""
        parts = self.path.relative_to(ROOT).with_suffix("").parts
        if parts[0] in PRODUCT:
            parts = parts[1:]
        return ".".join(part for part in parts if part != "__init__")

    @property
    def lines(self) -> int:
        """How long the file is."""
        return self.text.count("\n")

    def functions(self) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
        """All functions and methods."""
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        return [node for node in ast.walk(self.tree) if isinstance(node, kinds)]

    def imports(self) -> set[str]:
        """Names of the modules that are imported where the module is, not inside functions."""
        found: set[str] = set()
        inside = {id(node) for f in self.functions() for node in ast.walk(f)}
        for node in ast.walk(self.tree):
            if id(node) in inside:
                continue
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module)
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
        return found


@cache
def tracked() -> tuple[Path, ...]:
    """The files that git knows or would take."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout.decode()
    found = (ROOT / name for name in names.split("\0") if name)
    return tuple(path for path in found if path.is_file() and not path.is_symlink())


@cache
def modules(*roots: str) -> tuple[Module, ...]:
    """The Python files below the given top-level folders."""
    found = []
    for path in tracked():
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in roots:
            text = path.read_text(encoding="utf-8")
            found.append(Module(path, text, ast.parse(text)))
    return tuple(found)


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function, its docstring not counted."""
    last = function.end_lineno or function.lineno
    size = last - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None and first.end_lineno is not None:
        size -= first.end_lineno - first.lineno + 1
    return size
