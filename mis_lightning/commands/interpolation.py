"""References in config files, ``${trainer.max_steps}``, filled in with what the command line says.

jsonargparse fills them in file by file, before it reads the options: ``--trainer.max_steps 100`` would leave
a schedule that refers to it at the file's length. (Its mode ``omegaconf+`` waits, but takes half a minute.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf

from mis_lightning.commands.config_files import with_config_files
from mis_lightning.commands.yaml_classes import FULL_NAMES


def fill_references(args: Sequence[str], folder: Path) -> list[str]:
    """Replace each config file among the arguments by a copy whose references are filled in.

    A reference takes the value that a later file or an option of the command line gives to what it refers to,
    if a file names that, too. The bare name of a class of this package in a ``class_path`` becomes its dotted
    path. Everything else in the copies is as in the files.

    Args:
        args: Arguments of a command with ``--config`` options, each with a file or a name.
        folder: Where the copies go.

    Returns:
        The arguments with the copies in place of the files. Files that are no YAML stay as they are.

    Raises:
        InputError: A ``--config`` is neither a file nor a name.
        omegaconf.errors.OmegaConfBaseException: A reference leads nowhere.
    """
    args = _one_word_each(with_config_files(args))
    places = [i for i, arg in enumerate(args) if arg.startswith("--config=")]
    files = {i: config for i in places if (config := _read(args[i].partition("=")[2])) is not None}
    if not files:
        return args
    for config in files.values():
        _write_out_names(config)
    everything = OmegaConf.merge(*files.values())
    options = {}
    for i, arg in enumerate(args):
        key, given, value = arg.removeprefix("--").partition("=")
        if given and arg.startswith("--") and _is_value(everything, key):  # type: ignore[arg-type]
            OmegaConf.update(everything, key, yaml.safe_load(value))
            if "${" in value:
                options[i] = key
    for i, key in options.items():
        args[i] = f"--{key}={OmegaConf.select(everything, key)}"
    for i, config in files.items():
        for place in list(_references(config)):
            OmegaConf.update(config, place, OmegaConf.select(everything, place))
        copy = folder / f"{i}-{Path(args[i]).name}"
        OmegaConf.save(config, copy)
        args[i] = f"--config={copy}"
    return args


def _write_out_names(config: DictConfig | ListConfig) -> None:
    """Replace the bare name of a class in each ``class_path`` by its dotted path, in place."""
    keys: list[Any] = list(config.keys()) if isinstance(config, DictConfig) else list(range(len(config)))
    for key in keys:
        node = config._get_node(key)
        if OmegaConf.is_config(node):
            _write_out_names(config[key])
        elif key == "class_path" and not OmegaConf.is_interpolation(config, key):
            config[key] = FULL_NAMES.get(str(config[key]), config[key])


def _is_value(config: DictConfig | ListConfig, key: str) -> bool:
    """Whether a file names this key, be it as null, and gives it a plain value."""
    above, _, last = key.rpartition(".")
    parent = OmegaConf.select(config, above) if above else config
    return isinstance(parent, DictConfig) and last in parent and not OmegaConf.is_config(parent[last])


def _one_word_each(args: Sequence[str]) -> list[str]:
    """``--key value`` -> ``--key=value``, and ``-c`` -> ``--config``."""
    words: list[str] = []
    open_option = False
    for arg in args:
        arg = "--config" if arg == "-c" else arg
        if open_option and not arg.startswith("-"):
            words[-1] += f"={arg}"
            open_option = False
        else:
            words.append(arg)
            open_option = arg.startswith("--") and "=" not in arg
    return words


def _read(path: str) -> DictConfig | None:
    try:
        if not isinstance(
            yaml.safe_load(Path(path).read_text(encoding="utf-8")), dict
        ):  # OmegaConf takes a bare word for a key
            return None
        config = OmegaConf.load(path)
    except Exception:  # jsonargparse will say what is wrong with it
        return None
    return config if isinstance(config, DictConfig) else None


def _references(config: DictConfig | ListConfig, prefix: str = "") -> Iterator[str]:
    """Places of the values that are references, ``a.b[0].c``."""
    keys: list[Any] = list(config.keys()) if isinstance(config, DictConfig) else list(range(len(config)))
    for key in keys:
        place = f"{prefix}[{key}]" if isinstance(config, ListConfig) else f"{prefix}.{key}".removeprefix(".")
        if OmegaConf.is_interpolation(config, key):
            yield place
        elif OmegaConf.is_config(config._get_node(key)):
            yield from _references(config[key], place)
