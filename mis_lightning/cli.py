"""The command ``mis``: one verb, then its options. Nothing heavy is imported before the verb is known."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from mis_lightning.console import prepare
from mis_lightning.errors import InputError, Interrupted, of_system, of_workers

VERBS = {
    "fit": (
        "mis_lightning.commands.lightning",
        "train a click model on a folder of images, no labels needed",
    ),
    "adapt": (
        "mis_lightning.commands.adapt",
        "adapt a model to your own images, with masks of some of them or without labels",
    ),
    "validate": ("mis_lightning.commands.lightning", "evaluate on the validation benchmarks of a config"),
    "test": (
        "mis_lightning.commands.lightning",
        "evaluate on the test benchmarks of a config: the NoC table",
    ),
    "predict": ("mis_lightning.commands.predict", "segment images from a file of clicks"),
    "propose": ("mis_lightning.commands.propose", "find the objects that look like a few marked ones"),
    "export-masks": (
        "mis_lightning.commands.export_masks",
        "export annotations as PNG, label maps, COCO or NIfTI",
    ),
    "precompute": (
        "mis_lightning.commands.precompute",
        "build the merge trees of a folder ahead of training",
    ),
    "import-checkpoint": (
        "mis_lightning.commands.import_checkpoint",
        "convert a published SimpleClick or MIS .pth to a model folder",
    ),
    "export": ("mis_lightning.commands.export", "export a model for onnxruntime or libtorch"),
    "push": ("mis_lightning.commands.push", "publish a model on the hub, with a model card"),
    "shard": ("mis_lightning.commands.shard", "pack a store of regions into a few files"),
    "prepare": ("mis_lightning.commands.prepare", "prepare a benchmark, or say what is missing"),
    "compare": (
        "mis_lightning.commands.compare",
        "click models, cv2.grabCut and merge trees under one simulated user",
    ),
    "figure": ("mis_lightning.commands.figure", "the paper's figures for your images, models and results"),
    "reproduce": (
        "mis_lightning.commands.reproduce",
        "train, test and report the rows of the paper's tables",
    ),
    "report": ("mis_lightning.commands.report", "collect results in the paper's tables"),
    "bench": ("mis_lightning.commands.bench", "time one part against its peers"),
    "annotate": ("mis_lightning.commands.annotate", "annotate images in the browser by clicking"),
    "quickstart": (
        "mis_lightning.commands.quickstart",
        "the whole method on bundled photographs, in minutes",
    ),
}
WITH_VERB = {"fit", "validate", "test", "predict"}  # these hand their own name on to the Lightning CLI


def usage() -> str:
    """Return the text of ``mis --help``."""
    lines = [f"  {verb:<18} {text}" for verb, (_, text) in VERBS.items()]
    return (
        "usage: mis VERB [options]\n\nverbs:\n"
        + "\n".join(lines)
        + "\n\n`mis VERB --help` lists the options of a verb."
    )


def main(args: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        args: What follows ``mis`` on the command line; ``None`` takes it from there.

    Returns:
        The exit status: 0, 2 after a message about what the user gave or the system refuses, 130 after
        Ctrl-C, 143 after SIGTERM.
    """
    prepare()
    given = list(sys.argv[1:] if args is None else args)
    name = f"mis {given[0]}" if given else "mis"
    try:
        status = _run(given)
        sys.stdout.flush()
        return status
    except InputError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return 130
    except Interrupted as stop:
        print(f"{name}: {stop}", file=sys.stderr)
        return stop.status
    except BrokenPipeError:  # whoever read the output has enough: `mis report runs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it ends
        return 0
    except Exception as error:
        cause = _told(error)
        if cause is None:
            raise
        print(f"{name}: {cause}", file=sys.stderr)
        return 2


def _told(error: BaseException) -> str | None:
    """What a user needs to hear of an error; ``None``: it is the program's.

    What a class of a config says as it is made comes wrapped in the words of those who made it.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, InputError):
            return str(cause)
        cause = cause.__cause__
    return of_system(error) if isinstance(error, OSError) else of_workers(error)


def _run(given: list[str]) -> int:
    if not given or given[0] in ("-h", "--help"):
        print(usage())
        return 0
    if given[0] == "--version":
        from mis_lightning import __version__

        print(f"mis_lightning {__version__}")
        return 0
    verb = given[0]
    if verb not in VERBS:
        print(f"mis: no verb {verb!r}.\n\n{usage()}", file=sys.stderr)
        return 2
    if any("help" in arg or arg == "-h" for arg in given[1:]):
        from mis_lightning.commands.help_pages import page

        text = page(verb, given[1:], VERBS[verb][0])
        if text is not None:
            print(text)
            return 0
    command = importlib.import_module(VERBS[verb][0])
    return int(command.main(given if verb in WITH_VERB else given[1:]))
