"""A folder of precomputed regions: one small file per image and a manifest.

Layout::

    store/
        manifest.json                 format version, kind, layout, and the settings that made the regions
        2008_000002.jpg.safetensors   a merge tree or a set of masks (:mod:`~mis_lightning.regions.record`)

Where the name of an image leaves no room for the suffix, the file is called by its beginning, ``~`` and a
digest, and the key is inside.

Files are written under another name and renamed, so a killed run leaves whole files or none; safetensors hold
numbers only, so opening one never runs code. Only opening and sweeping list the folder. For millions of
images :mod:`~mis_lightning.regions.shards` packs a store into few files.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from mis_lightning.errors import InputError
from mis_lightning.files import sweep, written_whole
from mis_lightning.regions.manifest import check_settings, read_manifest, write_manifest
from mis_lightning.regions.record import from_bytes, key_of, to_bytes
from mis_lightning.regions.source import Regions

SUFFIX = ".safetensors"
_LONGEST = 255  # bytes of a name on the usual file systems
_SHORTENED = re.compile(r"~[0-9a-f]{16}$")


class RegionStore:
    """Regions on disk, by image key.

    Args:
        root: The folder; made when the first regions are saved.
        settings: Everything that fixes the regions (source, extractor, weights digest, patch size, scaling,
            connectivity …), as JSON values. ``None`` opens an existing store with whatever settings it has.

    Raises:
        StoreMismatchError: The folder holds regions made with other settings, and the message names each
            difference, or regions in another version of the format.
        InputError: The folder is no store of single files.
    """

    def __init__(self, root: str | Path, settings: Mapping[str, Any] | None = None) -> None:
        self.root = Path(root)
        # Asked before the manifest is read: another process may write both in between, the manifest first.
        has_files = next(self.root.rglob(f"*{SUFFIX}"), None) is not None
        manifest = read_manifest(self.root)
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
        if manifest["layout"] != "files":
            raise InputError(f"{self.root} holds {manifest['layout']}, which cannot be added to.")
        self.settings = manifest["settings"]
        check_settings(self.root, self.settings, settings)

    def path(self, key: str) -> Path:
        """Return the file of an image's regions; ``key`` is its path relative to the image folder.

        Raises:
            InputError: The key would lead out of the store.
        """
        parts = PurePosixPath(key).parts
        if not parts or key.startswith("/") or ".." in parts:
            raise InputError(f"Expected the key of an image as a relative path without '..', not {key!r}.")
        return self.root / f"{_short(key)}{SUFFIX}"

    def __contains__(self, key: str) -> bool:
        return self.path(key).is_file()

    def keys(self) -> list[str]:
        """List the keys, sorted; this walks the folder."""
        names = (
            (path, path.relative_to(self.root).as_posix().removesuffix(SUFFIX))
            for path in self.root.rglob(f"*{SUFFIX}")
        )
        return sorted((_SHORTENED.search(name) and key_of(path.read_bytes())) or name for path, name in names)

    def sweep(self) -> None:
        """Remove partial files left by killed runs on this machine; active runs are left alone."""
        sweep(self.root)

    def write_manifest(self) -> None:
        """Write the manifest if there is none: :meth:`save` does, but not from several threads at once."""
        write_manifest(self.root, self.settings, "files")

    def save(self, key: str, regions: Regions) -> None:
        """Write the regions of one image, whole or not at all; the first also write the manifest."""
        self.write_manifest()
        with written_whole(self.path(key)) as temporary:
            temporary.write_bytes(to_bytes(regions, key if _short(key) != key else None))

    def remove_damaged(self, key: str) -> bool:
        """Remove the file of an image if it is damaged, so that it is made again; whether it was.

        Raises:
            InputError: It cannot be read.
        """
        if key not in self:
            return False
        data = self.read(key)
        try:
            from_bytes(data)
        except ValueError:
            self.path(key).unlink()
            return True
        return False

    def read(self, key: str) -> bytes:
        """Read the record of one image as it is.

        Raises:
            InputError: There is none for this image.
        """
        try:
            return self.path(key).read_bytes()
        except FileNotFoundError:
            raise InputError(f"No regions for {key} in {self.root}; run `mis precompute`.") from None
        except OSError as error:
            raise InputError(f"The regions of {key} cannot be read: {error}.") from error

    def load(self, key: str) -> Regions:
        """Read the regions of one image and check that they are sound.

        Raises:
            InputError: There are none for this image, or the file is damaged.
        """
        data = self.read(key)
        try:
            return from_bytes(data)
        except ValueError as error:
            raise InputError(
                f"{self.path(key)} is damaged ({error}); delete it and run `mis precompute` again."
            ) from error


def _short(key: str) -> str:
    """The key, its last part shortened where it would be too long for a file name with the suffix."""
    folder, slash, name = key.rpartition("/")
    room = _LONGEST - len(SUFFIX)
    if len(os.fsencode(name)) <= room:
        return key
    digest = hashlib.blake2b(os.fsencode(key), digest_size=8).hexdigest()
    start = os.fsencode(name)[: room - len(digest) - 1].decode("utf-8", "ignore")
    return f"{folder}{slash}{start}~{digest}"
