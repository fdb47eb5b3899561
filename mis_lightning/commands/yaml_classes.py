"""The classes that a config may choose by their bare names: ``class_path: SegmentUnions``."""

from __future__ import annotations

from collections.abc import Mapping

from mis_lightning.clicks.initial import InitialPoints
from mis_lightning.data.augment import PaperAugmentation
from mis_lightning.data.benchmarks import DAVIS, Berkeley, BraTS, GrabCut
from mis_lightning.data.bundled import BundledBenchmark
from mis_lightning.data.labelled_folder import LabelledFolder
from mis_lightning.data.oaizib import OAIZIB
from mis_lightning.data.sbd import SBD
from mis_lightning.data.zoom_augment import ZoomAugmentation
from mis_lightning.features.colour_texture import ColourTexture
from mis_lightning.features.resnet import ResNetFeatures
from mis_lightning.features.vit import ViTFeatures
from mis_lightning.losses.interactive import ClickLoss
from mis_lightning.models.click_hybrid import HybridClickViT
from mis_lightning.models.click_vit import ClickViT
from mis_lightning.regions.deep_spectral import DeepSpectral
from mis_lightning.regions.free_mask import FreeMask
from mis_lightning.regions.merge_tree import MergeTreeRegions
from mis_lightning.regions.mixture import Mixture
from mis_lightning.regions.segment_unions import SegmentUnions
from mis_lightning.regions.tokencut import TokenCut
from mis_lightning.regions.true_masks import TrueMasks
from mis_lightning.training.figure_callbacks import EvaluationFigures, TrainingFigures
from mis_lightning.training.mask_writer import MaskWriter
from mis_lightning.training.noc_evaluation import NoCEvaluation
from mis_lightning.training.optim import WarmupCosine
from mis_lightning.training.told_steps import ToldSteps

_CLASSES: tuple[type, ...] = (
    Berkeley,
    BraTS,
    BundledBenchmark,
    ClickLoss,
    ClickViT,
    ColourTexture,
    DAVIS,
    DeepSpectral,
    EvaluationFigures,
    FreeMask,
    GrabCut,
    HybridClickViT,
    InitialPoints,
    LabelledFolder,
    MaskWriter,
    MergeTreeRegions,
    Mixture,
    NoCEvaluation,
    OAIZIB,
    PaperAugmentation,
    ResNetFeatures,
    SBD,
    SegmentUnions,
    ToldSteps,
    TokenCut,
    TrainingFigures,
    TrueMasks,
    ViTFeatures,
    WarmupCosine,
    ZoomAugmentation,
)
FULL_NAMES: Mapping[str, str] = {one.__name__: f"{one.__module__}.{one.__qualname__}" for one in _CLASSES}
"""Bare name -> dotted path."""
