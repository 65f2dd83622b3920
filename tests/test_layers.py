"""Imports point one way, and rooms do not know what is above them."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = (
    {"calcscore_features"},
    {
        "errors",
        "files",
        "anatomy",
        "geometry",
        "scan",
        "protocol",
        "kernels",
        "components",
        "manifest",
        "csv_lines",
        "configs",
        "batch",
    },
    {"io", "quality"},
    {"heart", "candidates"},
    {"table", "models", "importers"},
    {"scores"},
    {"referral", "validity"},
    {"recipe", "recipe_grid", "result", "sources", "phantom", "evaluation"},
    {"pipeline"},
    {"training", "assessment", "observers", "scan_row", "ablation", "nested", "judged", "promises"},
    {"reports"},
    {"review"},
    {"decided"},
    {"cli"},
    {"__main__"},
)
"""Rooms from the ground up: a module imports from its own layer and those before it."""

MODULES = sorted(
    [*(ROOT / "calcscore_ml").rglob("*.py"), *(ROOT / "features" / "calcscore_features").rglob("*.py")], key=str
)


def room(parts):
    """The room of a dotted name, or None for the package itself."""
    if parts[0] == "calcscore_features":
        return "calcscore_features"
    return parts[1] if len(parts) > 1 else None


def height(name):
    """Layer of a room."""
    for level, rooms in enumerate(LAYERS):
        if name in rooms:
            return level
    raise AssertionError(f"{name} has no layer: give it one in LAYERS")


def imports(path):
    """Every project module a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative imports hide the layer"
            names = [node.module] if node.module != "calcscore_ml" else [f"calcscore_ml.{a.name}" for a in node.names]
        yield from (n.split(".") for n in names if n.split(".")[0] in ("calcscore_ml", "calcscore_features"))


def own_room(path):
    """The room a file belongs to; None for the package's front door."""
    parts = path.relative_to(ROOT / "features" if "features" in path.relative_to(ROOT).parts[0] else ROOT).with_suffix(
        ""
    )
    return None if parts.parts == ("calcscore_ml", "__init__") else room(parts.parts)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path):
    """A module imports only from its own layer and the layers below it."""
    own = own_room(path)
    for target in imports(path):
        asked = room(target)
        if own is None or asked is None or asked == own:
            continue
        assert height(asked) <= height(own), f"{own} must not import {'.'.join(target)}"


def test_features_know_nothing_of_the_package():
    """`calcscore_features` can be used alone."""
    for path in MODULES:
        if "calcscore_features" in path.parts:
            assert all(t[0] == "calcscore_features" for t in imports(path)), path
