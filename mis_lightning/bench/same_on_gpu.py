"""Whether a GPU answers as the CPU does: simulated users of the shipped model, and the loss of a step."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy, deepcopy
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from mis_lightning.bench.figure import Figure
from mis_lightning.bench.fit_speed import first_batch, set_tf32
from mis_lightning.data.augment import PaperAugmentation
from mis_lightning.data.bundled import BundledBenchmark
from mis_lightning.evaluation.simulation import EvaluationSettings, SimulatedSession, simulate_sessions
from mis_lightning.losses.interactive import ClickLoss
from mis_lightning.models.click_network import ClickNetwork
from mis_lightning.models.pretrained import load_pretrained
from mis_lightning.segmenters.click_model import ClickModelSegmenter
from mis_lightning.training.datamodule import MISDataModule
from mis_lightning.training.module import InteractiveSegmentation

SAMPLES = 4
"""In the step whose loss is compared."""


def same_sessions(device: torch.device, objects: int, clicks: int) -> list[Figure]:
    """Compare simulated users of ``mis-small`` on bundled objects, on the CPU and on a device."""
    set_tf32(False)
    benchmark = BundledBenchmark()
    samples = [benchmark[index] for index in range(objects)]
    settings = EvaluationSettings(target_iou=None, max_clicks=clicks)
    model = load_pretrained()
    expected = list(simulate_sessions(ClickModelSegmenter(model), samples, settings))
    model = model.to(device)
    alone = list(simulate_sessions(ClickModelSegmenter(model), samples, settings))
    together = list(simulate_sessions(ClickModelSegmenter(model), samples, settings, min(objects, 16)))
    return [
        *_differences("one by one", expected, alone),
        *_differences("16 together", expected, together),
    ]


def _differences(name: str, expected: list[SimulatedSession], found: list[SimulatedSession]) -> list[Figure]:
    same = [one.clicks == other.clicks for one, other in zip(expected, found, strict=True)]
    gaps = [np.abs(one.ious - other.ious) for one, other in zip(expected, found, strict=True)]
    first = max(float(gap[0]) for gap in gaps)  # all made the same first click
    agreeing = [float(gap.max()) for gap, equal in zip(gaps, same, strict=True) if equal]
    means = [float(np.mean([session.ious[-1] for session in sessions])) for sessions in (expected, found)]
    return [
        Figure(f"objects with the same clicks, {name}", float(sum(same)), f"of {len(same)}"),
        Figure("  largest difference of an IoU after the first click", first, ""),
        Figure(
            "  largest difference of an IoU among those of the same clicks", max(agreeing, default=0.0), ""
        ),
        Figure("  difference of the mean IoU after the last click", abs(means[0] - means[1]), ""),
    ]


def same_loss(data: MISDataModule, network: Callable[[], ClickNetwork], device: torch.device) -> list[Figure]:
    """Compare the loss of one step, without dropout and colour jitter, which draw on the device.

    Args:
        data: Set up for ``fit``.
        network: Makes the network whose weights are drawn at random. It is asked without simulated clicks,
            which hang on the last digit of its answers of about 0.5; the shipped model is asked with three.
        device: What is compared with the CPU.
    """
    set_tf32(False)
    shipped = load_pretrained()
    assert data.training_set is not None
    dataset = copy(data.training_set)
    dataset.make = replace(dataset.make, augment=PaperAugmentation(shipped.input_size))
    trained: dict[str, Tensor] = default_collate([dataset[0, index] for index in range(SAMPLES)])
    random = first_batch(data, SAMPLES)
    return [
        Figure("loss of random weights, relative difference", _gap(network(), random, 0, device), ""),
        Figure("loss of mis-small, 3 simulated clicks, the same", _gap(shipped, trained, 3, device), ""),
    ]


def _gap(model: ClickNetwork, batch: dict[str, Tensor], clicks: int, device: torch.device) -> float:
    for part in model.modules():
        if isinstance(part, nn.Dropout | nn.Dropout2d):
            part.p = 0.0
    losses = []
    for place in (torch.device("cpu"), device):
        module = InteractiveSegmentation(
            deepcopy(model), ClickLoss(), learn_from="every", max_simulated_clicks=clicks
        )
        module.to(place).train()
        module.log = lambda *_, **__: None  # type: ignore[method-assign, assignment]  # there is no trainer
        moved = {name: value.to(place) for name, value in batch.items()}
        losses.append(float(module.training_step(moved, 0).detach()))
    return abs(losses[0] - losses[1]) / abs(losses[0])
