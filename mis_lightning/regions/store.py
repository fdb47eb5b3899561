"""A folder of precomputed regions: one small file per image and a manifest.

Layout::

    store/
        manifest.json                 format version, kind, and the settings that made the regions
        2008_000002.jpg.safetensors   a merge tree or a set of masks (:mod:`~mis_lightning.regions.record`)

Files are written under another name and renamed, so a killed run leaves whole files or none; safetensors hold
numbers only, so opening one never runs code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from mis_lightning.errors import InputError, StoreMismatchError
from mis_lightning.files import sweep, written_whole
from mis_lightning.regions.record import from_bytes, to_bytes
from mis_lightning.regions.source import Regions

FORMAT_VERSION = 2
KIND = "regions"
SUFFIX = ".safetensors"


class RegionStore:
    """Regions on disk, by image key.

    Args:
        root: The folder; made when the first regions are saved.
        settings: Everything that fixes the regions (source, extractor, weights digest, patch size, scaling,
            connectivity …), as JSON values. ``None`` opens an existing store with whatever settings it has.

    Raises:
        StoreMismatchError: The folder holds regions made with other settings, and the message names each
            difference, or regions in another version of the format.
        InputError: The folder is no store.
    """

    def __init__(self, root: str | Path, settings: Mapping[str, Any] | None = None) -> None:
        self.root = Path(root)
        # Asked before the manifest is read: another process may write both in between, the manifest first.
        has_files = next(self.root.rglob(f"*{SUFFIX}"), None) is not None
        manifest = self._read_manifest()
        if manifest is None:
            if settings is None:
                raise InputError(
                    f"Expected a store of regions, but {self.root} has no manifest.json; "
                    "run `mis precompute`."
                )
            if self.root.exists() and not self.root.is_dir():
                raise InputError(f"Expected a folder for regions, but {self.root} is a file.")
            if has_files:
                raise InputError(
                    f"{self.root} holds {SUFFIX} files but no manifest.json, so it is unknown how they were "
                    "made; choose another folder, or delete this one and run again."
                )
            self.settings: dict[str, Any] = json.loads(json.dumps(dict(settings)))
            return
        self.settings = manifest["settings"]
        if settings is not None:
            self._compare(json.loads(json.dumps(dict(settings))))

    def _read_manifest(self) -> dict[str, Any] | None:
        path = self.root / "manifest.json"
        if not path.is_file():
            return None
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            version = manifest["format_version"]
            if version == FORMAT_VERSION:
                if manifest["kind"] != KIND:
                    raise ValueError(f"its kind is {manifest['kind']!r}")
                if not isinstance(manifest["settings"], dict):
                    raise TypeError("its settings are no table")
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} is not the manifest of a store of regions ({error}); choose another folder, or "
                "delete this one and run again."
            ) from error
        if version != FORMAT_VERSION:
            raise StoreMismatchError(
                f"{path} has format version {version}, this program reads {FORMAT_VERSION}; precompute into "
                "another folder."
            )
        return dict(manifest)

    def _compare(self, wanted: dict[str, Any]) -> None:
        keys = [k for k in {**self.settings, **wanted} if self.settings.get(k) != wanted.get(k)]
        if keys:
            differences = "; ".join(
                f"{k}: store {self.settings.get(k)!r}, asked {wanted.get(k)!r}" for k in keys
            )
            raise StoreMismatchError(
                f"The regions in {self.root} were made with other settings ({differences}). "
                "Use those settings, or another folder for the new ones."
            )

    def path(self, key: str) -> Path:
        """Return the file of an image's regions; ``key`` is its path relative to the image folder.

        Raises:
            InputError: The key would lead out of the store.
        """
        parts = PurePosixPath(key).parts
        if not parts or key.startswith("/") or ".." in parts:
            raise InputError(f"Expected the key of an image as a relative path without '..', not {key!r}.")
        return self.root / f"{key}{SUFFIX}"

    def __contains__(self, key: str) -> bool:
        return self.path(key).is_file()

    def sweep(self) -> None:
        """Remove what killed runs on this machine left half written; runs that go on are left alone."""
        sweep(self.root)

    def write_manifest(self) -> None:
        """Write the manifest if there is none: :meth:`save` does, but not from several threads at once."""
        manifest = self.root / "manifest.json"
        if not manifest.is_file():
            with written_whole(manifest) as temporary:
                content = {"format_version": FORMAT_VERSION, "kind": KIND, "settings": self.settings}
                temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    def save(self, key: str, regions: Regions) -> None:
        """Write the regions of one image, whole or not at all; the first also write the manifest."""
        self.write_manifest()
        with written_whole(self.path(key)) as temporary:
            temporary.write_bytes(to_bytes(regions))

    def load(self, key: str) -> Regions:
        """Read the regions of one image and check that they are sound.

        Raises:
            InputError: There are none for this image, or the file is damaged.
        """
        path = self.path(key)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise InputError(f"No regions for {key} in {self.root}; run `mis precompute`.") from None
        try:
            return from_bytes(data)
        except ValueError as error:
            raise InputError(
                f"{path} is damaged ({error}); delete it and run `mis precompute` again."
            ) from error
