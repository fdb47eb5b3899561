"""``mis shard``: pack a store of regions into a few files, for millions of images."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from mis_lightning.console import counted
from mis_lightning.regions.shards import write_shards
from mis_lightning.regions.store import RegionStore


def main(args: Sequence[str]) -> int:
    """Run ``mis shard STORE OUT``; ``--data.store OUT`` trains from it."""
    parser = argparse.ArgumentParser(
        prog="mis shard", description="Pack a store of regions into a few files, for millions of images."
    )
    parser.add_argument("store", help="folder that `mis precompute` filled (--data.store)")
    parser.add_argument("out", help="new folder for the shards; give it as --data.store")
    options = parser.parse_args(args)
    count = write_shards(RegionStore(options.store), options.out)
    print(f"regions of {counted(count, 'image')} packed in {options.out}")
    return 0
