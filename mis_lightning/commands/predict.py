"""``mis predict``: a folder and a clicks file in, masks out.

There are two ways to call it. ``mis predict --clicks FILE`` needs no config; with ``--config`` it is the verb
of the Lightning CLI, whose options ``mis predict --config FILE --help`` lists.
"""

from __future__ import annotations

import argparse
import logging
import warnings
from collections.abc import Sequence
from typing import Any, get_args

import lightning as L
from torch import nn
from torch.utils.data import DataLoader

from mis_lightning.annotation.batch import Answer, BatchAnswers
from mis_lightning.annotation.export import Format
from mis_lightning.annotation.overlap import Overlap
from mis_lightning.callbacks.mask_writer import MaskWriter
from mis_lightning.commands import lightning
from mis_lightning.data.click_requests import ClickRequest, ClickRequests
from mis_lightning.errors import InputError
from mis_lightning.formats.slice_view import Axis
from mis_lightning.images import Reading
from mis_lightning.inference.advance import ClickModel
from mis_lightning.inference.predictor import ClickPredictor
from mis_lightning.models.default_model import default_model


class Answering(L.LightningModule):
    """Gives a trainer something to predict with.

    Args:
        answers: Answers the requests; a network in it goes where the trainer computes.
    """

    def __init__(self, answers: BatchAnswers) -> None:
        super().__init__()
        self.batch_answers = answers
        self.network = answers.model if isinstance(answers.model, nn.Module) else None

    def predict_step(self, request: ClickRequest, *_: Any) -> Answer:
        """Answer the clicks on one image."""
        return self.batch_answers.answer(request)


def main(args: Sequence[str]) -> int:
    """Run ``mis predict --clicks FILE [--model MODEL] [--images DIR] [--out DIR] …``, or the Lightning verb.

    Raises:
        InputError: The options or the clicks do not fit, or some images failed; the others are done.
    """
    if any(arg.startswith(("--config", "--data", "--ckpt_path", "--trainer")) for arg in args):
        return lightning.main(args)
    given = _parser().parse_args(list(args[1:]))
    reading = Reading(
        tuple(given.window) if given.window else None,
        channels=tuple(given.channels) if given.channels else None,
    )
    requests = ClickRequests(given.clicks, given.images, reading, given.axis)
    requests.check_images()
    answers = BatchAnswers(_model(given.model, given.training_free), given.overlap, given.threshold)
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings(
        "ignore", ".*does not have many workers.*"
    )  # images are read as they are answered
    trainer = L.Trainer(
        accelerator=given.accelerator,
        devices=1,
        logger=False,
        enable_checkpointing=False,
        callbacks=[MaskWriter(given.out, given.format)],
    )
    trainer.predict(Answering(answers), DataLoader(requests, batch_size=None), return_predictions=False)
    return 0


def _model(source: str | None, training_free: bool) -> ClickModel | None:
    if training_free:
        if source is not None:
            raise InputError("Expected one of `--model` and `--training-free`, but got both.")
        return None
    if source is not None:
        return ClickPredictor.from_pretrained(source).model
    model = default_model()
    if model is None:
        print("no model was named and none is packaged: the merge tree answers")
    return model


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mis predict",
        description="Turn images and a file of clicks into masks. Started again, it skips what is done.",
        epilog="With --config it is a verb of the Lightning CLI: `mis predict --config FILE --help`.",
    )
    add = parser.add_argument
    add("--clicks", required=True, help="JSON, or CSV with image,row,col[,positive,object,slice]")
    add("--images", help="folder that the paths in it begin at; its own folder unless given")
    add("--model", help="a model folder, a .safetensors, .ckpt or .onnx file")
    add("--training-free", action="store_true", help="let the merge tree answer, not a model")
    add("--out", default="masks", help="folder of the masks (masks)")
    add("--format", default="png", choices=get_args(Format))
    add("--overlap", default="allow", choices=get_args(Overlap), help="who gets what several objects want")
    add("--threshold", type=float, default=0.5, help="least probability in a mask (0.5)")
    add("--window", type=float, nargs=2, metavar=("LOW", "HIGH"), help="values that become 0 and 255")
    add("--channels", type=int, nargs="+", help="one channel or three of the files")
    add("--axis", default="axial", choices=get_args(Axis), help="across which volumes are cut (axial)")
    add("--accelerator", default="auto", help="where to compute: auto, cpu, gpu, mps (auto)")
    return parser
