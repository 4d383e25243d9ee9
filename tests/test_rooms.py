"""A room imports only rooms above it: over all imports, also those inside functions."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import augmint

ROOT = Path(augmint.__file__).parent
ORDER = tuple(
    "errors config seeding train data augment networks measure represent classify generate mint judge report "
    "stages minting pipeline estimate api options output looking cli __main__".split()
)
FILES = sorted(ROOT.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path}: relative import"
        for name in names:
            if name == "augmint" and isinstance(node, ast.ImportFrom):
                found |= {alias.name for alias in node.names}
            elif name.startswith("augmint."):
                found.add(name.split(".")[1])
    return found


@pytest.mark.parametrize("path", [f for f in FILES if room(f) != "__init__"], ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_only_from_above(path: Path) -> None:
    mine = ORDER.index(room(path))
    below = {name for name in imported(path) if name not in ORDER or ORDER.index(name) > mine}
    assert not below, f"{path.name} imports {below}, which stand below it"


def test_every_module_says_what_it_is_for() -> None:
    silent = [f for f in FILES if f.read_text().strip() and not ast.get_docstring(ast.parse(f.read_text()))]
    assert not silent


def test_nothing_is_unpickled() -> None:
    words = ("import pickle", "torch.load(", "allow_pickle=True", "yaml.load(", "eval(", "exec(")
    found = [
        (f.name, w) for f in FILES for w in words if w in f.read_text().replace(".eval(", "").replace("model.eval(", "")
    ]
    assert not found


def test_the_command_line_answers_without_torch() -> None:
    code = "import sys; from augmint import cli; print({'torch', 'sklearn', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
