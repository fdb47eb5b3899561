"""Pictures beside training and evaluation: which are written, and that nothing else changes."""

from __future__ import annotations

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image

from mis_lightning.data.benchmark import Benchmark
from mis_lightning.data.zoom_augment import ZoomAugmentation
from mis_lightning.errors import InputError
from mis_lightning.evaluation.simulation import EvaluationSettings
from mis_lightning.features.colour_texture import ColourTexture
from mis_lightning.regions.merge_tree import MergeTreeRegions
from mis_lightning.regions.tokencut import TokenCut
from mis_lightning.structures import Sample
from mis_lightning.training.datamodule import MISDataModule
from mis_lightning.training.figure_callbacks import EvaluationFigures, RegionFigures, TrainingFigures
from mis_lightning.training.noc_evaluation import NoCEvaluation


class Boxes(Benchmark):
    """Three boxes."""

    name = "boxes"
    comparable = True

    def __len__(self):
        return 3

    def __getitem__(self, index):
        mask = np.zeros((30, 40), dtype=bool)
        mask[5:17, 8 : 20 + 4 * index] = True
        image = np.random.default_rng(index).integers(0, 120, (30, 40, 3), dtype=np.uint8)
        image[mask] += 130
        return Sample(image, mask, None, f"box{index}")


def trainer(folder, *callbacks, **options):
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    return L.Trainer(
        accelerator="cpu", default_root_dir=folder, callbacks=list(callbacks), **quiet, **options
    )


def fit(make, folder, *callbacks, logger=False):
    module, loader = make()
    run = trainer(folder, *callbacks, max_steps=5, logger=logger)
    run.fit(module, loader)
    return {name: value.clone() for name, value in module.state_dict().items()}


def test_batches_at_intervals_leave_the_training_as_it_is(tiny_training, tmp_path):
    plain = fit(tiny_training, tmp_path / "plain")
    logger = TensorBoardLogger(tmp_path, name="board", version="")
    figures = TrainingFigures(every_n_steps=3, count=2, folder=str(tmp_path / "figures"))
    drawn = fit(tiny_training, tmp_path / "drawn", figures, logger=logger)
    assert all(torch.equal(plain[name], drawn[name]) for name in plain)
    names = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert names == ["batch_000001.pdf", "batch_000001.png", "batch_000004.pdf", "batch_000004.png"]
    logged = b"".join(path.read_bytes() for path in (tmp_path / "board").glob("events*"))
    assert logged.count(b"train/batch") == 2
    picture = np.asarray(Image.open(tmp_path / "figures" / "batch_000001.png").convert("RGB"))
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50


def test_best_median_and_worst_objects_after_a_test(tiny_training, tmp_path):
    evaluation = NoCEvaluation(
        EvaluationSettings(max_clicks=3, target_iou=None), folder=str(tmp_path / "report")
    )
    figures = EvaluationFigures(shown=(1, 3, 9), folder=str(tmp_path / "figures"))
    module, _ = tiny_training()
    data = MISDataModule(test_benchmarks=[Boxes])
    trainer(tmp_path, evaluation, figures, logger=False).test(module, data, verbose=False)
    names = {path.stem for path in (tmp_path / "figures").glob("*.png")}
    assert names == {"boxes_best", "boxes_median", "boxes_worst", "iou_curves"}


def test_without_an_evaluation_there_is_nothing_to_draw(tiny_training, tmp_path, monkeypatch):
    module, _ = tiny_training()
    monkeypatch.setattr(type(module), "configure_callbacks", lambda self: [])  # as a module of another kind
    data = MISDataModule(test_benchmarks=[Boxes])
    with pytest.raises(InputError, match="needs NoCEvaluation"):
        trainer(tmp_path, EvaluationFigures(), logger=False).test(module, data, verbose=False)


@pytest.mark.parametrize("source", [MergeTreeRegions, TokenCut])
def test_what_the_images_offer_when_training_starts(source, tiny_training, tmp_path):
    (tmp_path / "images").mkdir()
    for index in range(3):
        Image.fromarray(Boxes()[index].image).save(tmp_path / "images" / f"{index}.png")
    weights = []
    for callbacks in ((), (RegionFigures(images=2, draws=3, folder=str(tmp_path / "figures")),)):
        module, _ = tiny_training()
        data = MISDataModule(
            str(tmp_path / "images"),
            source(ColourTexture(stride=4)),
            str(tmp_path / "store"),
            ZoomAugmentation(size=module.model.input_size),
            min_object_area=1,
            batch_size=2,
            num_workers=0,
        )
        trainer(tmp_path, *callbacks, max_steps=2, logger=False).fit(module, data)
        weights.append({name: value.clone() for name, value in module.state_dict().items()})
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    kinds = ("drawn", "merging", "shallow") if source is MergeTreeRegions else ("drawn",)
    names = {path.stem for path in (tmp_path / "figures").glob("*.png")}
    assert names == {f"image{number}_{kind}" for number in range(2) for kind in kinds}


def test_region_figures_need_images(tiny_training, tmp_path):
    with pytest.raises(InputError, match="needs the images"):
        fit(tiny_training, tmp_path, RegionFigures())


def test_numbers_below_one():
    with pytest.raises(InputError, match="at least 1"):
        RegionFigures(draws=0)
    with pytest.raises(InputError, match="at least 1"):
        TrainingFigures(every_n_steps=0)
