"""Provenance of a result: package versions, git commit, machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

from mis_lightning import licences

PACKAGES = (
    "mis-lightning",
    "torch",
    "numpy",
    "opencv-python-headless",
    "opencv-python",
    "torchmetrics",
    "timm",
)


def provenance() -> dict[str, Any]:
    """Versions of the packages that matter, the commit of this package, and the machine.

    Returns:
        ``versions`` (installed ones of ``PACKAGES``, and Python), ``git`` (``commit`` and ``dirty``; ``None``
        where this package is no git checkout), ``licences`` of what this process has loaded
        (:mod:`~mis_lightning.licences`), and ``machine`` (system, processor, threads, accelerator).
    """
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "versions": versions,
        "git": _git(Path(__file__).resolve()),
        "licences": licences.touched(),
        "machine": {
            "system": platform.platform(),
            "processor": platform.processor() or platform.machine(),
            "cpus": os.cpu_count(),
            "torch_threads": torch.get_num_threads(),
            "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
    }


def _git(file: Path) -> dict[str, Any] | None:
    """Commit of the checkout ``file`` is tracked in; an install inside another checkout is not."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(file.parent), *arguments]
        return subprocess.run(
            command, capture_output=True, encoding="utf-8", check=True, timeout=10
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", file.name)
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "-uno"))}
    except (OSError, subprocess.SubprocessError):
        return None
