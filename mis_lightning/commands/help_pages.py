"""What ``mis VERB --help`` prints.

The verbs of the Lightning CLI have hundreds of options: their page is short, and ``--help GROUP`` lists those
of a group, such as ``data`` or ``data.regions``. The page of a verb is there before PyTorch is imported.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import shutil
import textwrap
from collections.abc import Callable, Mapping, Sequence

from mis_lightning.commands.config_files import FOLDER, config_names
from mis_lightning.errors import InputError

ALL = "all"
"""After ``--help``: every option."""
_OPTIONS = {
    "adapt": "adapt",
    "annotate": "annotate",
    "compare": "compare",
    "export": "export",
    "import-checkpoint": "import_checkpoint",
    "predict": "predict",
    "propose": "propose",
    "push": "push",
    "quickstart": "quickstart",
}
"""Verbs of :mod:`~mis_lightning.commands.options`."""
_CONFIG = ("--config NAME", "a config of the list above, or a YAML file; repeatable, later ones win")
_IMAGES = ("--data.images PATH", "folder of images, or a text file with one path per line")
_STORE = ("--data.store FOLDER", "folder of the merge trees; default: in the cache")
_RESUME = ("--ckpt_path FILE", "go on with a run that was stopped, e.g. runs/cpu/checkpoints/last.ckpt")
_TESTED = ("--ckpt_path FILE", "the checkpoint, e.g. runs/cpu/checkpoints/last.ckpt")
_MODEL = ("--model.initial_weights PATH", "instead of a checkpoint: a model folder or a weights file")
_OUT = ("--trainer.default_root_dir FOLDER", "folder of the run")
_PAGES: Mapping[str, tuple[str, str, Sequence[tuple[str, str]]]] = {
    "fit": (
        "mis fit --config cpu --data.images my_images/",
        "Train a click model on a folder of images; no labels are needed.",
        (_CONFIG, _IMAGES, ("--trainer.max_steps N", "steps of the training"), _OUT, _RESUME),
    ),
    "validate": (
        "mis validate --config cpu --ckpt_path FILE",
        "Evaluate on the validation benchmarks of a config (data.val_benchmarks).",
        (_CONFIG, _TESTED, _MODEL, _OUT, ("--trainer.accelerator NAME", "cpu, gpu, auto")),
    ),
    "test": (
        "mis test --config cpu --ckpt_path FILE",
        "Evaluate on the test benchmarks of a config (data.test_benchmarks): the NoC table.\n"
        "MIS_DATA_DIR names the folder that holds the benchmarks. For images of your own:\n"
        "mis compare MODEL --images DIR --masks DIR",
        (_CONFIG, _TESTED, _MODEL, _OUT, ("--trainer.accelerator NAME", "cpu, gpu, auto")),
    ),
    "predict": (
        "mis predict --config cpu --ckpt_path FILE --data.clicks FILE",
        "Segment images from a file of clicks, with the network of a config.\n"
        "Without a config: mis predict --help",
        (_CONFIG, _TESTED, ("--data.clicks FILE", "images and clicks, .csv or .json"), _MODEL, _OUT),
    ),
    "precompute": (
        "mis precompute --config cpu --data.images my_images/",
        "Build the regions that mis fit with the same config needs, ahead of training.",
        (
            *(_CONFIG, _IMAGES, _STORE),
            ("--data.num_workers N", "worker processes (2); 0 where /dev/shm is small"),
            ("--devices N", "processes on this machine, a GPU each where there are GPUs"),
        ),
    ),
}
"""Verbs of many options: a command, what it does, and the options that are used most."""
_LISTED = 8
"""Most classes that are named as values of an option."""
_INDENT = 24
"""Of help texts, in characters, as argparse has it."""


def page(verb: str, args: Sequence[str], module: str) -> str | None:
    """The help that a command line asks for; ``None``: it asks for none, or the verb has its own.

    Args:
        verb: The verb.
        args: What follows it.
        module: Which module runs it.

    Raises:
        InputError: There are no options in the group that is asked for.
    """
    asked = [arg for arg in args if arg in ("-h", "--help") or arg.startswith("--help=")]
    of_class = [arg for arg in args if arg.startswith("--") and arg.partition("=")[0].endswith(".help")]
    if not asked and not of_class:
        return None
    with_config = any(arg.startswith(("--config", "--data", "--trainer", "--model")) for arg in args)
    if verb in _OPTIONS and not (verb == "predict" and with_config):
        options = importlib.import_module("mis_lightning.commands.options")
        return str(getattr(options, _OPTIONS[verb])().format_help()).rstrip()
    if verb == "figure" and args[0] in asked:
        return str(importlib.import_module("mis_lightning.commands.options").figure_help())
    if verb not in _PAGES:
        return None
    if of_class:
        return plain(_printed(verb, args, module))
    group = asked[0].partition("=")[2] or next(iter(args[args.index(asked[0]) + 1 :]), "")
    if not group or group.startswith("-"):
        return _short(verb)
    text = plain(_printed(verb, ["--help"], module))
    return text if group == ALL else _of_group(verb, group, text)


def plain(text: str) -> str:
    r"""A help text without the markup of docstrings and without endless lists of classes.

    >>> plain("Of :class:`~a.b.Cat`, ``None`` without. (type: Cat, known subclasses: x.Big, y.Small)")
    'Of Cat, None without. (type: Cat, known subclasses: Big, Small)'
    """
    text = re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"\1", text)
    text = re.sub(r"``([^`]+)``", r"\1", text)
    return re.sub(r"\s+known\s+subclasses:([\s\w.,]+)\)", _named, text)


def _named(found: re.Match[str]) -> str:
    paths = re.sub(r"\s+", "", found[1]).split(",")  # argparse breaks long ones over lines
    ours = [path for path in paths if path.startswith("mis_lightning.")] or paths
    names = list(dict.fromkeys(path.rpartition(".")[2] for path in ours))
    more = f", and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    text = f"known subclasses: {', '.join(names[:_LISTED])}{more})"
    if "\n" not in found[0]:
        return f" {text}"
    width = max(shutil.get_terminal_size().columns - 2, 2 * _INDENT)
    return "\n" + textwrap.fill(text, width, initial_indent=_INDENT * " ", subsequent_indent=_INDENT * " ")


def _short(verb: str) -> str:
    command, what, options = _PAGES[verb]
    folders = dict.fromkeys(name.partition("/")[0] for name in config_names() if "/" in name)
    configs = [(name, _first_comment(name)) for name in config_names() if "/" not in name]
    on_top = ", ".join(f"{folder}/…" for folder in folders if folder != "sweeps")
    return "\n".join(
        [
            f"usage: {command} [options]\n\n{what}\n\nconfigs:",
            *_table(configs),
            f"  on top of these: {on_top} (in {FOLDER})",
            "\noptions that are used most:",
            *_table(options),
            "\nthe others:",
            *_table(
                [
                    (f"mis {verb} --help data", "options of a group: data, model, trainer, or a part of one"),
                    (f"mis {verb} --help {ALL}", "every option"),
                    (f"mis {verb} --data.regions.help SegmentUnions", "options of a class"),
                    (f"mis {verb} --config cpu --print_config", "a config with all its values"),
                ]
            ),
        ]
    )


def _table(lines: Sequence[tuple[str, str]]) -> list[str]:
    width = max(len(name) for name, _ in lines)
    return [f"  {name:<{width}}  {text}" for name, text in lines]


def _first_comment(name: str) -> str:
    lines = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    comment = next((line.lstrip("# ") for line in lines if line.startswith("#")), "")
    return re.split(r"[:;.]( |$)", comment)[0]


def _printed(verb: str, args: Sequence[str], module: str) -> str:
    """What the parser of a verb prints as help before it leaves."""
    run: Callable[[Sequence[str]], int] = importlib.import_module(module).main
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        run(list(args) if verb == "precompute" else [verb, *args])
    return text.getvalue()


def _of_group(verb: str, group: str, text: str) -> str:
    """The options below a dotted key."""
    blocks = re.split(r"\n(?=  -|\S|\n)", text)
    name = re.escape(group.removeprefix("--"))
    kept = [block for block in blocks if re.match(rf"  --{name}(\.[\w.+]*)?( |,|$)", block, re.MULTILINE)]
    if not kept:
        raise InputError(
            f"Expected a group of options such as data, model, trainer or data.regions after --help, but got "
            f"{group!r}; `mis {verb} --help {ALL}` lists every option."
        )
    return "\n".join([f"options of mis {verb}, {group}:\n", *kept])
