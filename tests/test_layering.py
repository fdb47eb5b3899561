"""Imports point upstream, Lightning stays at the rim, files stay short; read from the source alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mis_lightning

ROOT = Path(mis_lightning.__file__).parent
FILES = sorted(path for path in ROOT.rglob("*.py"))

ORDER = (
    "structures",
    "errors",
    "licences",
    "console",
    "compiled",
    "files",
    "json_lines",
    "mask_box",
    "weight_files",
    "tiff",
    "image_decoding",
    "grey_levels",
    "images",
    "instance_maps",
    "formats",
    "features",
    "merge_tree",
    "regions",
    "clicks",
    "models",
    "losses",
    "metrics",
    "data",
    "segmenters",
    "evaluation",
    "alike",
    "export",
    "annotation",
    "learning",
    "server",
    "figures",
    "training",
    "bench",
    "commands",
    "cli",
)
"""From upstream to downstream; a part imports only parts before it, and itself."""

LIGHTNING = {"lightning", "pytorch_lightning", "lightning_fabric", "lightning_utilities"}
MAY_IMPORT_LIGHTNING = ("training/", "cli.py", "commands/", "bench/fit_speed.py")
THIN = {"__init__.py", "__main__.py"}
"""Of the package itself: they name its parts, or start it."""


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(path: Path) -> Iterator[str]:
    """Full names of the modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(path)}:{node.lineno} imports relatively"
            assert node.module is not None
            # `from mis_lightning import images` names a part, too.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part(module: str) -> str | None:
    pieces = module.split(".")
    return pieces[1] if pieces[0] == "mis_lightning" and len(pieces) > 1 else None


@pytest.mark.parametrize("path", [p for p in FILES if name(p) not in THIN], ids=name)
def test_imports_point_upstream(path: Path) -> None:
    here = name(path).split("/")[0].removesuffix(".py")
    assert here in ORDER, f"{here} has no place in the order of the package"
    for module in imported(path):
        there = part(module)
        if there is None or there.startswith("__"):  # other packages, the version
            continue
        assert there in ORDER, f"{name(path)} imports {module}"
        assert ORDER.index(there) <= ORDER.index(here), f"{name(path)} imports {module}, downstream of it"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_lightning_stays_at_the_rim(path: Path) -> None:
    if not name(path).startswith(MAY_IMPORT_LIGHTNING):
        found = [module for module in imported(path) if module.split(".")[0] in LIGHTNING]
        assert not found, f"{name(path)} imports {found}"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 350


def test_nothing_is_called_utils() -> None:
    places = [*ROOT.rglob("*"), *Path(__file__).parent.rglob("*")]
    assert [p for p in places if p.stem in ("utils", "util", "helpers", "misc", "common")] == []


def test_every_part_says_what_it_is() -> None:
    for path in FILES:
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), name(path)


def test_text_is_utf_8_whatever_the_locale() -> None:
    places = [*FILES, *Path(__file__).parent.rglob("*.py")]
    for path in places:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            named = {keyword.arg for keyword in node.keywords}
            if node.func.attr in ("read_text", "write_text") and "encoding" not in named:
                least = 1 if node.func.attr == "read_text" else 2  # it may come without its name
                assert len(node.args) >= least, f"{path}:{node.lineno} leaves the encoding to the locale"
            assert "text" not in named or node.func.attr not in ("run", "Popen", "check_output"), (
                f"{path}:{node.lineno}: encoding='utf-8' instead of text=True"
            )


def test_processes_that_tests_start_import_the_checkout(tmp_path: Path) -> None:
    code = "import mis_lightning; print(mis_lightning.__file__)"
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", check=True).stdout
    assert Path(found.strip()) == Path(__file__).parents[1] / "mis_lightning" / "__init__.py"
    assert Path(mis_lightning.__file__) == Path(found.strip())


@pytest.mark.parametrize(
    "verb", ["adapt", "annotate", "compare", "export-masks", "figure", "predict", "propose"]
)
def test_verbs_wait_for_no_import_that_they_may_not_need(verb: str) -> None:
    """Lightning, torchmetrics and torchvision take seconds; a missing file is said without them."""
    code = (
        "import sys; from mis_lightning.cli import VERBS; __import__(VERBS[sys.argv[1]][0]); "
        "print([name for name in ('lightning', 'torchmetrics', 'torchvision', 'torch._dynamo') "
        "if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, verb], capture_output=True, encoding="utf-8", check=True
    )
    assert found.stdout.strip() == "[]"
