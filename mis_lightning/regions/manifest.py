"""The manifest of a store: how its regions were made, and how they lie on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mis_lightning.errors import InputError, StoreMismatchError
from mis_lightning.files import written_whole

FORMAT_VERSION = 2
KIND = "regions"
LAYOUTS = ("files", "shards")


def write_manifest(root: Path, settings: Mapping[str, Any], layout: str) -> None:
    """Write ``manifest.json``, whole or not at all, if there is none.

    Args:
        root: The store's folder.
        settings: Everything that fixes the regions, as JSON values.
        layout: One of ``LAYOUTS``.
    """
    path = root / "manifest.json"
    if not path.is_file():
        content = {"format_version": FORMAT_VERSION, "kind": KIND, "layout": layout, "settings": settings}
        with written_whole(path) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_manifest(root: Path) -> dict[str, Any] | None:
    """Read ``manifest.json``; ``None`` if there is none.

    Raises:
        InputError: It is the manifest of something else.
        StoreMismatchError: It has another version of the format.
    """
    path = root / "manifest.json"
    if not path.is_file():
        return None
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version = manifest["format_version"]
        if version == FORMAT_VERSION:
            if manifest["kind"] != KIND or manifest["layout"] not in LAYOUTS:
                raise ValueError(f"its kind is {manifest['kind']!r}, its layout {manifest['layout']!r}")
            if not isinstance(manifest["settings"], dict):
                raise TypeError("its settings are not a table")
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is not the manifest of a store of regions ({error}); choose another folder, or "
            "delete this one and run again."
        ) from error
    if version != FORMAT_VERSION:
        raise StoreMismatchError(
            f"{path} has format version {version}, but this program reads {FORMAT_VERSION}; precompute into "
            "another folder."
        )
    return dict(manifest)


def check_settings(root: Path, there: Mapping[str, Any], asked: Mapping[str, Any] | None) -> None:
    """Compare a store's settings with those asked for; ``None`` asks for nothing.

    Raises:
        StoreMismatchError: They differ; the message names each difference.
    """
    if asked is None:
        return
    wanted = json.loads(json.dumps(dict(asked)))
    keys = [key for key in {**there, **wanted} if there.get(key) != wanted.get(key)]
    if keys:
        differences = "; ".join(f"{k}: store {there.get(k)!r}, asked {wanted.get(k)!r}" for k in keys)
        raise StoreMismatchError(
            f"The regions in {root} were made with other settings ({differences}). "
            "Use those settings, or another folder for the new ones."
        )
