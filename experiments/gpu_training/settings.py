"""How the network is trained on a GPU."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi


@dataclass
class Settings:
    """How to train.

    Attributes:
        initial: The model to start from, by name or folder.
        depth: Transformer blocks; more than the initial model has start as the identity.
        batch: Samples in a step.
        rounds: Corrective clicks after the first answer; every answer is learned from.
        rate: Highest learning rate.
        warm_up: Steps to reach it.
        weight_decay: Of AdamW.
        average: Decay of the running mean of the weights.
        overlap_weight: Of the soft IoU in the loss.
        no_start: Share of the samples that begin with one click of the simulated user alone.
        hardened: Share of the samples whose answers are made hard before the next click, by segments or
            pixels.
        without_granularity: Share of the samples that are not told the size of their region.
        seed: Of everything random.
    """

    initial: str = "mis-small"
    depth: int = 6
    batch: int = 192
    rounds: int = 4
    rate: float = 4e-4
    warm_up: int = 150
    weight_decay: float = 0.05
    average: float = 0.999
    overlap_weight: float = 0.3
    no_start: float = 0.6
    hardened: float = 0.4
    without_granularity: float = 0.5
    seed: int = 0


def rate_at(progress: float, step: int, settings: Settings) -> float:
    """The learning rate: linear warm-up by steps, then a cosine over the time that there is."""
    warm = min(1.0, (step + 1) / settings.warm_up)
    return settings.rate * warm * (0.01 + 0.99 * 0.5 * (1 + cos(pi * min(1.0, progress))))
