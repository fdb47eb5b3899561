"""``mis fit | validate | test | predict``: a LightningCLI over the module and the data module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jsonargparse import ArgumentError
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from mis_lightning.data.datamodule import MISDataModule
from mis_lightning.errors import InputError
from mis_lightning.module import InteractiveSegmentation


class MISCLI(LightningCLI):
    """The Lightning CLI with OmegaConf interpolation, and the input size stated once."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Let one seed decide everything."""
        parser.link_arguments("seed_everything", "data.seed")
        parser.link_arguments("seed_everything", "model.seed")


def main(args: Sequence[str]) -> int:
    """Run a Lightning verb; ``args[0]`` is the verb.

    Raises:
        InputError: The options or the config do not fit; the message says which.
    """
    run(args)
    return 0


def run(args: Sequence[str], **settings: Any) -> MISCLI:
    """Run a Lightning verb and return the CLI, whose trainer and model a caller may look at."""
    # Interpolation in the YAML; and errors raised, not printed below two screens of usage.
    kwargs = {"parser_mode": "omegaconf", "exit_on_error": False}
    try:
        return MISCLI(
            InteractiveSegmentation,
            MISDataModule,
            args=list(args),
            seed_everything_default=0,
            save_config_kwargs={"overwrite": True},
            parser_kwargs={**kwargs, **{verb: kwargs for verb in ("fit", "validate", "test", "predict")}},
            auto_configure_optimizers=False,
            **settings,
        )
    except ArgumentError as error:
        raise InputError(str(error)) from error
