"""``mis precompute``: build the regions that ``mis fit`` with the same config needs."""

from __future__ import annotations

from argparse import SUPPRESS
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser
from lightning.fabric import Fabric
from omegaconf.errors import OmegaConfBaseException

from mis_lightning.commands.interpolation import fill_references
from mis_lightning.console import counted, quiet_libraries
from mis_lightning.errors import InputError
from mis_lightning.training.datamodule import MISDataModule

# A config of `mis fit` also has these; they are ignored here.
NOT_HERE = ("seed_everything", "trainer", "model", "optimizer", "lr_scheduler", "ckpt_path", "weights_only")


def main(args: Sequence[str]) -> int:
    """Run ``mis precompute [--config FILE] [--data.images DIR] [--data.…] [--devices N]``.

    Raises:
        InputError: The options do not fit, or some images cannot be read; the others are done.
    """
    parser = ArgumentParser(
        prog="mis precompute",
        description=__doc__.replace("``", ""),
        parser_mode="omegaconf",
        exit_on_error=False,
    )
    parser.add_argument("--config", action="config", help="configs of `mis fit`; only their `data` is used")
    parser.add_argument("--accelerator", default="auto", help="as in the Trainer: auto, cpu, gpu")
    parser.add_argument(
        "--devices", type=int, default=1, help="processes on this machine, a GPU each where there are GPUs"
    )
    parser.add_argument("--num_nodes", type=int, default=1, help="machines, under torchrun or SLURM")
    for name in NOT_HERE:
        parser.add_argument(f"--{name}", type=Any, help=SUPPRESS)
    parser.add_class_arguments(MISDataModule, "data")
    try:
        with TemporaryDirectory() as folder:
            # A file may refer to what another one or the command line says: sources/true_masks.
            settings = parser.parse_args(fill_references(args, Path(folder)))
    except ArgumentError as error:
        raise InputError(str(error)) from error
    except OmegaConfBaseException as error:
        raise InputError(f"{error.full_key}: {str(error).splitlines()[0]}") from error
    if settings.devices < 1 or settings.num_nodes < 1:
        raise InputError("Expected `--devices` and `--num_nodes` of at least 1.")
    quiet_libraries()
    # Fabric takes the place of each process from torchrun, SLURM …, or starts the processes itself.
    fabric = Fabric(accelerator=settings.accelerator, devices=settings.devices, num_nodes=settings.num_nodes)
    fabric.launch()
    data = parser.instantiate_classes(settings).data
    data.setup("fit")
    if fabric.is_global_zero:
        print(
            f"regions of {counted(len(data.training_set.images), 'image')} in {data.training_set.store.root}"
        )
    return 0
