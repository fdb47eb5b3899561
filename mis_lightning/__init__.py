"""Interactive segmentation learned from unlabelled images (MIS, ICCV 2023).

The pipeline, in the order of the folders::

    features, grid = extractor(image)                  # features/     image -> patch features
    tree = build_merge_tree(features, grid)            # merge_tree/   patch features -> merge tree
    node = sample_node(tree, generator)                #               merge tree -> region
    points = InitialPoints()(mask, generator)          # clicks/       region -> clicks
    logits = model(image, Prompt(points, previous))    # models/       clicks -> mask
    loss, terms = ClickLoss()(logits, mask, image)     # losses/
    segmenter = open_segmenter("mis-small")            # segmenters/   image, clicks -> mask in the image
    session = simulate_session(segmenter, sample, ...) # evaluation/   a simulated user
    number_of_clicks(session.ious, 0.85)               # metrics/      NoC@85

Names are imported when first used, so ``import mis_lightning`` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "Click": "structures",
    "Prompt": "structures",
    "Sample": "structures",
    "InputError": "errors",
    "MergeTree": "merge_tree.tree",
    "build_merge_tree": "merge_tree.ward",
    "sample_node": "merge_tree.sampling",
    "node_mask": "merge_tree.sampling",
    "MergeTreeRegions": "regions.merge_tree",
    "RegionStore": "regions.store",
    "next_click": "clicks.simulated_user",
    "PatchExtractor": "features.extractor",
    "RegionSource": "regions.source",
    "MaskSource": "regions.mask_set",
    "Benchmark": "data.benchmark",
    "ClickViT": "models.click_vit",
    "HybridClickViT": "models.click_hybrid",
    "ClickNetwork": "models.click_network",
    "save_pretrained": "models.pretrained",
    "Segmenter": "segmenters.base",
    "ClickModelSegmenter": "segmenters.click_model",
    "PredictionSettings": "segmenters.prediction_settings",
    "MergeTreeSegmenter": "segmenters.merge_tree",
    "GrabCutSegmenter": "segmenters.grabcut",
    "open_segmenter": "segmenters.registry",
    "load_pretrained": "models.pretrained",
    "ClickPredictor": "segmenters.predictor",
    "AnnotationSession": "annotation.session",
    "AnnotationStore": "annotation.store",
    "EvaluationSettings": "evaluation.simulation",
    "simulate_session": "evaluation.simulation",
    "number_of_clicks": "metrics.functional",
    "NumberOfClicks": "metrics.noc",
    "MISDataModule": "training.datamodule",
    "InteractiveSegmentation": "training.module",
}

__all__ = ["__version__", *_HOME]

if TYPE_CHECKING:
    from mis_lightning.annotation.session import AnnotationSession as AnnotationSession
    from mis_lightning.annotation.store import AnnotationStore as AnnotationStore
    from mis_lightning.clicks.simulated_user import next_click as next_click
    from mis_lightning.errors import InputError as InputError
    from mis_lightning.evaluation.simulation import EvaluationSettings as EvaluationSettings
    from mis_lightning.evaluation.simulation import simulate_session as simulate_session
    from mis_lightning.merge_tree.sampling import node_mask as node_mask
    from mis_lightning.merge_tree.sampling import sample_node as sample_node
    from mis_lightning.merge_tree.tree import MergeTree as MergeTree
    from mis_lightning.merge_tree.ward import build_merge_tree as build_merge_tree
    from mis_lightning.metrics.functional import number_of_clicks as number_of_clicks
    from mis_lightning.metrics.noc import NumberOfClicks as NumberOfClicks
    from mis_lightning.models.click_vit import ClickViT as ClickViT
    from mis_lightning.models.pretrained import load_pretrained as load_pretrained
    from mis_lightning.regions.merge_tree import MergeTreeRegions as MergeTreeRegions
    from mis_lightning.regions.store import RegionStore as RegionStore
    from mis_lightning.segmenters.predictor import ClickPredictor as ClickPredictor
    from mis_lightning.structures import Click as Click
    from mis_lightning.structures import Prompt as Prompt
    from mis_lightning.structures import Sample as Sample
    from mis_lightning.training.datamodule import MISDataModule as MISDataModule
    from mis_lightning.training.module import InteractiveSegmentation as InteractiveSegmentation


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'mis_lightning' has no attribute {name!r}")
    return getattr(importlib.import_module(f"mis_lightning.{_HOME[name]}"), name)
