"""Compiled code where there is no place for its cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import mis_lightning


def test_without_a_place_for_the_cache_it_works_and_says_so_once(tmp_path: Path) -> None:
    """The package in a folder that numba can make none in, and a home that is none."""
    source = Path(mis_lightning.__file__).parent
    copy = tmp_path / "installed" / "mis_lightning"
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__", "assets", "page"))
    for folder in [copy, *(path for path in copy.rglob("*") if path.is_dir())]:
        (folder / "__pycache__").write_text("not a folder", encoding="utf-8")  # root may write anywhere else
    program = (
        "from mis_lightning.console import prepare; prepare(); import numpy as np, warnings;"
        "warnings.simplefilter('always');"  # Python itself would hide that it is said again
        "from mis_lightning.merge_tree.tree import MergeTree;"
        "print(MergeTree(np.array([[0, 1], [2, 3]], np.int32), np.array([1, 2], np.float32), (1, 3)).sizes)"
    )
    left_out = ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    environment |= {"HOME": "/dev/null", "PYTHONDONTWRITEBYTECODE": "1"}
    environment["PYTHONPATH"] = str(tmp_path / "installed")
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[1 1 1 2 3]\n"
    assert done.stderr.count("NUMBA_CACHE_DIR") == 1
