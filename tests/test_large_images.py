"""Photographs of 4000x3000 pixels: features within the token budget, training samples, an evaluation."""

from __future__ import annotations

import tracemalloc

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from mis_lightning.annotation.session import AnnotationSession
from mis_lightning.data.augment import PaperAugmentation
from mis_lightning.evaluation.simulation import EvaluationSettings, simulate_sessions
from mis_lightning.features.vit import ViTFeatures
from mis_lightning.regions.merge_tree import MergeTreeRegions
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.structures import Sample
from mis_lightning.training.datamodule import MISDataModule

SIZE = (3000, 4000)


@pytest.fixture(scope="module")
def photograph():
    coarse = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    return cv2.resize(coarse, SIZE[::-1], interpolation=cv2.INTER_CUBIC)


def test_training_samples(photograph, tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("a", "b"):
        Image.fromarray(photograph).save(tmp_path / "images" / f"{name}.jpg")
    extractor = ViTFeatures("vit_tiny_patch16_224", pretrained=False, max_tokens=300)
    data = MISDataModule(
        str(tmp_path / "images"),
        MergeTreeRegions(extractor),
        str(tmp_path / "store"),
        PaperAugmentation((64, 64)),
        batch_size=2,
        num_workers=0,
    )
    with pytest.warns(UserWarning, match=r"4000×3000 pixels gives 187500 tokens, more than max_tokens=300"):
        data.setup("fit")
    tree = data.training_set.store.load("a.jpg")
    assert 300 <= tree.n_leaves <= 340
    assert abs(tree.grid[1] / tree.grid[0] - 4 / 3) < 0.1
    batch = next(iter(data.train_dataloader()))
    assert batch["image"].shape == (2, 3, 64, 64)
    assert batch["mask"].any()


def test_evaluation(photograph):
    mask = np.zeros(SIZE, np.bool_)
    mask[700:2100, 800:2600] = True

    def model(image, prompt):
        """Everything within half of the input's height of the first positive click."""
        rows = torch.arange(image.shape[2])[:, None] - prompt.points[:, 0, 0, None, None]
        cols = torch.arange(image.shape[3]) - prompt.points[:, 0, 1, None, None]
        return (image.shape[2] / 4 - torch.maximum(rows.abs(), cols.abs()))[:, None]

    settings = EvaluationSettings(target_iou=None, max_clicks=3)
    (session,) = simulate_sessions(
        ClickModelSegmenter(model), [Sample(photograph, mask, None, "large")], settings
    )
    assert len(session.clicks) == 3
    assert session.clicks[0][:2] == pytest.approx((1400, 1700), abs=201)  # as deep as can be
    assert session.ious.min() > 0.2


def test_many_objects_take_what_they_cover(photograph):
    session = AnnotationSession(photograph, ClickModelSegmenter(lambda image, prompt: prompt.previous_mask))
    session.add_object()
    mask = np.zeros(SIZE, bool)
    mask[100:300, 200:500] = True
    session.load_mask(mask)
    session.label_map()
    tracemalloc.start()
    for number in range(20):
        session.add_object()
        session.load_mask(np.roll(mask, 180 * number))
    assert len(np.unique(session.label_map())) > 15
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 5 * mask.nbytes  # the active object has its state; 20 masks would be 20 times this
