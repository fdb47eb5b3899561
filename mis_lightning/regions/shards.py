"""A store packed into few files, for millions of images; written and read by litdata (the extra ``shards``).

Layout::

    packed/
        manifest.json     as of a store, with "layout": "shards"
        keys.txt          one key a line, JSON-quoted, in the order of the records
        index.json        litdata's index of the chunks
        chunk-0-0.bin …   the records, about 64 MB in each file

Shards are read-only. Opening reads the list of keys; no folder is ever listed, and a record is one seek away.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mis_lightning.console import told
from mis_lightning.errors import InputError
from mis_lightning.regions.manifest import check_settings, read_manifest, write_manifest
from mis_lightning.regions.record import from_bytes
from mis_lightning.regions.source import Regions
from mis_lightning.regions.store import RegionStore

if TYPE_CHECKING:
    from litdata import StreamingDataset

CHUNK_BYTES = 64 << 20


class RegionShards:
    """Regions by image key, read from shards.

    Args:
        root: The folder.
        settings: As of :class:`~mis_lightning.regions.store.RegionStore`.

    Raises:
        StoreMismatchError: The regions were made with other settings.
        InputError: The folder holds no shards, or not such as :func:`write_shards` writes.
    """

    def __init__(self, root: str | Path, settings: Mapping[str, Any] | None = None) -> None:
        self.root = Path(root)
        manifest = read_manifest(self.root)
        if manifest is None or manifest["layout"] != "shards":
            raise InputError(f"Expected shards in {self.root}, but there are none; run `mis shard`.")
        self.settings: dict[str, Any] = manifest["settings"]
        check_settings(self.root, self.settings, settings)
        _check_index(self.root / "index.json")
        lines = (self.root / "keys.txt").read_text(encoding="utf-8").splitlines()
        self._numbers = {json.loads(line): number for number, line in enumerate(lines)}
        self._reader: tuple[int, StreamingDataset] | None = None

    def __contains__(self, key: str) -> bool:
        return key in self._numbers

    def __len__(self) -> int:
        """Count the images."""
        return len(self._numbers)

    def load(self, key: str) -> Regions:
        """Read the regions of one image and check that they are sound.

        Raises:
            InputError: There are none for this image, or they are damaged.
        """
        if key not in self._numbers:
            raise InputError(f"No regions for {key} in {self.root}; pack the store again with `mis shard`.")
        data = bytes(self._dataset()[self._numbers[key]])
        try:
            return from_bytes(data)
        except ValueError as error:
            raise InputError(
                f"The regions of {key} in {self.root} are damaged ({error}); pack the store again."
            ) from error

    def _dataset(self) -> StreamingDataset:
        """Open the reader in each process: a forked one shares its parent's file position."""
        if self._reader is None or self._reader[0] != os.getpid():
            self._reader = os.getpid(), _litdata().StreamingDataset(str(self.root))
        return self._reader[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_reader": None}


def write_shards(store: RegionStore, root: str | Path, progress: bool = True) -> int:
    """Pack a store.

    The manifest comes last, so a killed run leaves a folder that is not taken for shards.

    Args:
        store: The store.
        root: A folder that is new or empty.
        progress: Show a progress bar.

    Returns:
        How many images there are.

    Raises:
        InputError: The folder holds something, or litdata is not installed.
    """
    root = Path(root)
    if root.exists() and (not root.is_dir() or next(root.iterdir(), None) is not None):
        raise InputError(f"Expected a new or empty folder, but {root} is not empty; choose another.")
    _litdata()
    from litdata.streaming.writer import BinaryWriter

    root.mkdir(parents=True, exist_ok=True)
    keys = store.keys()
    writer = BinaryWriter(str(root), chunk_bytes=CHUNK_BYTES)
    for number, key in enumerate(told(keys, len(keys), "shards", "image") if progress else keys):
        data = store.read(key)
        from_bytes(data)
        writer[number] = data
    writer.done()
    writer.merge(1)
    (root / "keys.txt").write_text("".join(f"{json.dumps(key)}\n" for key in keys), encoding="utf-8")
    write_manifest(root, store.settings, "shards")
    return len(keys)


def open_store(root: str | Path, settings: Mapping[str, Any] | None = None) -> RegionStore | RegionShards:
    """Open a store, whichever way it lies on disk.

    Raises:
        InputError: As of :class:`RegionShards` and :class:`~mis_lightning.regions.store.RegionStore`.
    """
    manifest = read_manifest(Path(root))
    packed = manifest is not None and manifest["layout"] == "shards"
    return RegionShards(root, settings) if packed else RegionStore(root, settings)


def _litdata() -> Any:
    try:
        import litdata
    except ImportError:
        raise InputError("Shards need litdata: pip install 'mis-lightning[shards]'.") from None
    return litdata


def _check_index(path: Path) -> None:
    """Refuse an index that would have litdata unpickle, decrypt or unpack what it reads."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))["config"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not the index of shards ({error!r}); pack the store again.") from error
    odd = config.get("data_format") != ["bytes"] or config.get("item_loader") != "PyTreeLoader"
    if odd or any(config.get(name) for name in ("compression", "encryption")):
        raise InputError(f"{path} is not the index of shards that `mis shard` writes; pack the store again.")
