"""``mis precompute``: build the merge trees that ``mis fit`` with the same config would build."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser

from mis_lightning.data.datamodule import MISDataModule
from mis_lightning.errors import InputError

# A config of `mis fit` also holds these; here they are read over.
NOT_HERE = ("seed_everything", "trainer", "model", "optimizer", "lr_scheduler", "ckpt_path", "weights_only")


def main(args: Sequence[str]) -> int:
    """Run ``mis precompute [--config FILE] [--data.images DIR] [--data.…]``.

    Raises:
        InputError: The options do not fit, or some images cannot be read (the trees of the others are saved).
    """
    parser = ArgumentParser(
        prog="mis precompute", description=__doc__, parser_mode="omegaconf", exit_on_error=False
    )
    parser.add_argument("--config", action="config", help="a config of `mis fit`; only its `data` is used")
    for name in NOT_HERE:
        parser.add_argument(f"--{name}", type=Any, help="==SUPPRESS==")
    parser.add_class_arguments(MISDataModule, "data")
    try:
        settings = parser.parse_args(list(args))
    except ArgumentError as error:
        raise InputError(str(error)) from error
    data = parser.instantiate_classes(settings).data
    data.setup("fit")
    print(f"{len(data.regions.images)} merge trees in {data.regions.store.root}")
    return 0
