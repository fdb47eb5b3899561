"""``mis fit | validate | test | predict``: a LightningCLI over the module and the data module."""

from __future__ import annotations

import pickle
import re
import shlex
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from jsonargparse import ArgumentError, Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar, TQDMProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from omegaconf.errors import OmegaConfBaseException

from mis_lightning.commands.interpolation import fill_references
from mis_lightning.console import quiet_libraries
from mis_lightning.errors import InputError
from mis_lightning.models.pretrained import read_checkpoint
from mis_lightning.training.datamodule import MISDataModule
from mis_lightning.training.module import InteractiveSegmentation
from mis_lightning.training.told_steps import ToldSteps

CHECKPOINT_WORDS = ("best", "last", "hpc")  # what Lightning understands besides a path

# Lines of jsonargparse's messages that say how it searched, not what is wrong.
_SEARCH = (
    "Does not validate against",
    "Subtypes:",
    "Errors:",
    "Given value",
    "Problem with given class_path",
    "Expected a path but",
    "Expected a <class 'NoneType'>",
)


class LoggedConfig(SaveConfigCallback):
    """Saves the config of a run as ``config.yaml``, and logs it as the hyperparameter ``config``."""

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Log the config to every logger."""
        config = yaml.safe_load(self.parser.dump(self.config, skip_none=False))
        for logger in trainer.loggers:
            logger.log_hyperparams({"config": config})


class MISCLI(LightningCLI):
    """The Lightning CLI with OmegaConf interpolation, one seed for everything and short error messages."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Use one seed for everything."""
        parser.link_arguments("seed_everything", "data.seed")
        parser.link_arguments("seed_everything", "model.seed")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse, and check the checkpoint before anything slow starts.

        The base class would also warn about arguments passed in addition to a command line, which is how
        ``mis`` works.
        """
        with TemporaryDirectory() as folder:
            self.config = parser.parse_args(fill_references(args, Path(folder)))
        verb = self.config.get("subcommand")
        given = str(self.config[verb].get("ckpt_path") or "last") if verb else "last"
        if given not in CHECKPOINT_WORDS and not given.startswith("registry") and "://" not in given:
            _check_checkpoint(Path(given))

    def _parse_ckpt_path(self) -> None:
        """Leave the config as it is: the base class would put a checkpoint's hyperparameters into it.

        Those of :class:`InteractiveSegmentation` say how to open the checkpoint without a config.
        """

    def instantiate_classes(self) -> None:
        """Instantiate everything except what only training needs.

        Evaluating a checkpoint must not fetch the weights of an extractor, or those that training began with.
        """
        self.whole_config = self.config
        verb = self.config.get("subcommand")
        if verb:
            self.config = self.config.clone()
            self.config[verb]["weights_only"] = True  # `best` and `last` are found later, and never unpickled
        if verb in ("validate", "test", "predict"):
            self.config[verb]["data"]["regions"] = None
            if self.config[verb].get("ckpt_path"):
                self.config[verb]["model"]["initial_weights"] = None
            if verb == "predict":
                self.config[verb]["return_predictions"] = False  # MaskWriter keeps them, on disk
        super().instantiate_classes()

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Instantiate the trainer; its errors are errors of the config."""
        self.config = self.whole_config  # which the trainer is to save
        verb = self.config.get("subcommand")
        trainer = (self.config_init[verb] if verb else self.config_init)["trainer"]
        try:
            return super().instantiate_trainer(**{**_shown(trainer), **kwargs})
        except (ValueError, MisconfigurationException) as error:
            raise InputError(f"trainer: {error}") from error


def _shown(trainer: Namespace) -> dict[str, Any]:
    """What shows how far a run is, unless the config says: a bar on a terminal, elsewhere lines.

    The table of the network is left out, and so is Rich's bar, which counts the epochs of a run of so many
    steps as "0/-2".
    """
    settings: dict[str, Any] = {}
    if trainer["enable_model_summary"] is None:
        settings["enable_model_summary"] = False
    callbacks = list(trainer["callbacks"] or [])
    if trainer["enable_progress_bar"] is None and not any(isinstance(c, ProgressBar) for c in callbacks):
        settings["enable_progress_bar"] = watched = sys.stdout.isatty()
        if watched or not any(isinstance(c, ToldSteps) for c in callbacks):
            callbacks.append(TQDMProgressBar() if watched else ToldSteps(always=True))
        settings["callbacks"] = callbacks
    return settings


def main(args: Sequence[str]) -> int:
    """Run a Lightning verb; ``args[0]`` is the verb.

    Raises:
        InputError: The options or the config do not fit; the message says which.
    """
    if len(args) > 1 and not args[1].startswith("-"):
        raise InputError(_instead(args[0], args[1]))
    cli = run(args)
    kept = getattr(cli.trainer.checkpoint_callback, "last_model_path", "")
    if args[0] == "fit" and kept and cli.trainer.is_global_zero:
        print(f"The checkpoint is {kept}. Next: mis annotate my_images/ --model {shlex.quote(str(kept))}")
    return 0


def _instead(verb: str, word: str) -> str:
    """What to type in place of a verb and a word behind it, such as the name of a folder."""
    if verb != "fit":
        advice = (
            f"To measure on images and masks of your own: mis compare MODEL --images {word} --masks MASKS"
        )
    else:
        advice = (
            f"To train on images: mis fit --config cpu --data.images {word}. To adapt the shipped model to "
            f"them, in minutes: mis adapt {shlex.quote(word)} --out my_model"
        )
    return f"Expected options, but got {word!r}. {advice}"


def run(args: Sequence[str], **settings: Any) -> MISCLI:
    """Run a Lightning verb and return the CLI, whose trainer and model a caller may look at.

    Args:
        args: The words after ``mis``; with ``run=False`` those after the verb.
        **settings: Further arguments of :class:`lightning.pytorch.cli.LightningCLI`.

    Raises:
        InputError: The options or the config do not fit; the message says which.
    """
    quiet_libraries()
    # Interpolation in the YAML; and errors raised, not printed below two screens of usage.
    kwargs = {"parser_mode": "omegaconf", "exit_on_error": False}
    try:
        return MISCLI(
            InteractiveSegmentation,
            MISDataModule,
            args=list(args),
            seed_everything_default=0,
            save_config_callback=LoggedConfig,
            save_config_kwargs={"overwrite": True},
            parser_kwargs={**kwargs, **{verb: kwargs for verb in ("fit", "validate", "test", "predict")}},
            auto_configure_optimizers=False,
            **settings,
        )
    except ArgumentError as error:
        hint = "" if _sources(args) else ". Name a config, e.g. --config cpu --data.images my_images/"
        hint = hint if "are required" in str(error) else ""
        raise InputError(shorten(str(error)) + _sources(args) + hint) from error
    except pickle.UnpicklingError as error:
        raise InputError(
            "The checkpoint that `ckpt_path` found holds more than weights and numbers, and is not read: "
            "it could run any program. Name the .ckpt file of a run of your own."
        ) from error
    except OmegaConfBaseException as error:
        raise InputError(f"{error.full_key}: {str(error).splitlines()[0]}{_sources(args)}") from error
    except MisconfigurationException as error:
        raise InputError(str(error)) from error


def shorten(message: str) -> str:
    r"""Reduce jsonargparse's tree of reasons to the key and what is wrong with it.

    >>> shorten('Parser key "model.model":\n  Problem with given class_path "X":\n    Parser key "dim":\n'
    ...         "      Expected a <class 'int'>. Got value: wide")
    "model.model.dim: Expected a <class 'int'>. Got value: wide"
    """
    if message.startswith("Problems parsing config"):  # one sentence over several lines
        return " ".join(message.replace('in "<unicode string>", ', "at ").split())
    keys: list[str] = []
    for line in message.splitlines():
        reason = re.sub(r"^[\s-]*(Type .* expects a function or a callable class: )?", "", line)
        found = re.match(r'Parser key "([^"]+)"[^:]*:\s*', reason)
        if found:
            keys.append(found[1])
            reason = reason[found.end() :]
        reason = re.sub(r"[. ]*Got value: (Namespace\(|\{|\[).*", "", reason)
        if reason and not reason.startswith(_SEARCH):
            return f"{'.'.join(keys)}: {reason}" if keys else reason
    return message


def _sources(args: Sequence[str]) -> str:
    words = [word for arg in args for word in arg.split("=", 1)]
    files = [word for option, word in pairwise(words) if option in ("--config", "-c")]
    return f" (from {', '.join(files)} and the command line)" if files else ""


def _check_checkpoint(path: Path) -> None:
    if path.is_dir():
        raise InputError(
            f"Expected a .ckpt file in `ckpt_path`, but {path} is a folder; "
            "a model folder goes to `--model.initial_weights`."
        )
    if not path.is_file():
        raise InputError(f"Expected a .ckpt file in `ckpt_path`, but there is nothing at {path}.")
    read_checkpoint(path)
