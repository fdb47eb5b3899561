"""A click spread over the image by a ViT's attention, as a Markov chain: no training, no network of ours.

The idea is that of M2N2 ("Repurposing Stable Diffusion Attention for Training-Free Unsupervised Interactive
Segmentation", CVPR 2025): attention as the transition matrix of a chain, the time until the chain reaches a
patch as its distance in meaning, the nearest click deciding. Written from that description for the attention
of any ViT of timm; the published figures are those of Stable Diffusion 2 and of M2N2's own rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mis_lightning.errors import InputError
from mis_lightning.merge_tree.scaling import patch_of_pixels
from mis_lightning.segmenters.base import Segmenter, check_image
from mis_lightning.structures import Click

if TYPE_CHECKING:
    from mis_lightning.features.attention import AttentionMaps, ViTAttention

MAX_PATCHES = 1600
"""The chain has their square of numbers."""
BALANCING_ROUNDS = 15
"""Of making rows and columns sum to 1 in turn."""


@dataclass(frozen=True)
class ChainState:
    """Everything the mask depends on. Never changed in place.

    Attributes:
        chain: Transition matrix, doubly stochastic, float32, ``(n, n)``; shared by all states of an image.
        grid: ``(h, w)``.
        shape: ``(H, W)`` of the image.
        clicks: All clicks so far, in pixels of the image.
    """

    chain: NDArray[np.float32]
    grid: tuple[int, int]
    shape: tuple[int, int]
    clicks: tuple[Click, ...] = ()


class AttentionChainSegmenter(Segmenter[ChainState]):
    """Answers clicks with what a random walk along the attention reaches first.

    For each click the chain starts in its patch; the distance of another patch is the number of steps until
    its probability comes within ``reached`` of the greatest. A positive click stands for the patches nearer
    than a level, connected to it and nearer to no negative click. Of all levels that leave out the negative
    clicks it is the one whose region the walk leaves least.

    Args:
        attention: Makes the weights between patches; ``None``: DINO ViT-S/8, at most 1600 patches.
        reached: A patch is reached where its probability is this share of the greatest, in (0, 1).
        steps: Steps of the chain; patches not reached by then are farthest.
        min_share: Least share of the image that one click marks.
        max_share: Largest share.

    Raises:
        InputError: A number is out of range; or the weights of DINO are not there.
    """

    def __init__(
        self,
        attention: AttentionMaps | None = None,
        reached: float = 0.3,
        steps: int = 60,
        min_share: float = 0.005,
        max_share: float = 0.6,
    ) -> None:
        if not 0 < reached < 1 or steps < 1 or not 0 <= min_share < max_share <= 1:
            raise InputError(
                "Expected `reached` in (0, 1), `steps` >= 1 and 0 <= `min_share` < `max_share` <= 1, "
                f"but got {reached}, {steps}, {min_share} and {max_share}."
            )
        if attention is None:
            attention = attention_of("vit_small_patch8_224.dino")
        self.attention = attention
        self.reached = reached
        self.steps = steps
        self.min_share = min_share
        self.max_share = max_share

    def begin(self, image: NDArray[np.uint8]) -> ChainState:
        """Make the chain of an RGB image, uint8, ``(H, W, 3)``."""
        weights, grid = self.attention(check_image(image))
        return ChainState(balanced(weights), grid, image.shape[:2])

    def click(self, states: Sequence[ChainState], clicks: Sequence[Sequence[Click]]) -> list[ChainState]:
        """Add clicks to each state."""
        pairs = zip(states, clicks, strict=True)
        return [replace(state, clicks=(*state.clicks, *new)) for state, new in pairs]

    def probability(self, state: ChainState) -> NDArray[np.float32]:
        """The patches that belong, brought bilinearly to the size of the image, float32, ``(H, W)``."""
        patches = self.patches(state).astype(np.float32)
        resized = cv2.resize(patches, state.shape[::-1], interpolation=cv2.INTER_LINEAR)
        return np.asarray(resized, np.float32)

    def patches(self, state: ChainState) -> NDArray[np.bool_]:
        """The patches that belong to the object, bool, ``(h, w)``."""
        chosen = np.zeros(len(state.chain), np.bool_)
        starts = [(_patch(state, click), click.positive) for click in state.clicks]
        distances = {
            patch: steps_to_reach(state.chain, patch, self.reached, self.steps) for patch, _ in starts
        }
        against = [patch for patch, positive in starts if not positive]
        nearest_against = np.min([distances[patch] for patch in against], axis=0) if against else np.inf
        for patch, positive in starts:
            if positive:
                distance = distances[patch]
                level = self._level(state.chain, distance, [distance[other] for other in against])
                region = (distance <= level) & (distance <= nearest_against)
                region[patch] = True
                chosen |= connected(region.reshape(state.grid), patch).ravel()
        return chosen.reshape(state.grid)

    def _level(
        self, chain: NDArray[np.float32], distance: NDArray[np.float64], below: Sequence[float]
    ) -> float:
        """The distance up to which a click reaches: the region that the walk leaves least.

        Args:
            chain: Doubly stochastic.
            distance: Of all patches from the click.
            below: The level stays under these.
        """
        n = len(distance)
        order = np.argsort(distance, kind="stable")
        ordered = distance[order]
        within = chain[order][:, order].cumsum(axis=0, dtype=np.float64).cumsum(axis=1).diagonal()
        sizes = np.arange(1, n + 1)
        leaving = (sizes - within) / np.minimum(sizes, n - sizes + 1e-9)
        ends = np.append(ordered[1:] > ordered[:-1], True)  # a level takes all patches of its distance
        fit = ends & (sizes >= self.min_share * n) & (sizes <= self.max_share * n)
        if below:
            fit &= ordered < min(below)
        if not fit.any():
            clear = ends & (ordered < min(below)) if below else ends
            smallest = np.flatnonzero(clear)
            return float(ordered[smallest[0]]) if len(smallest) else 0.0
        return float(ordered[np.where(fit, leaving, np.inf).argmin()])

    def settings(self) -> dict[str, Any]:
        """Everything that fixes the answers, as JSON values."""
        names = ("reached", "steps", "min_share", "max_share")
        return {**self.attention.settings(), **{name: getattr(self, name) for name in names}}

    @property
    def identity(self) -> str:
        """``"attention-chain"``."""
        return "attention-chain"


def attention_of(model: str, checkpoint: str | None = None, device: str = "cpu") -> ViTAttention:
    """The attention of a timm ViT on at most ``MAX_PATCHES`` patches.

    Args:
        model: Its name.
        checkpoint: A local weights file; ``None``: timm's.
        device: Where it runs.
    """
    from mis_lightning.features.attention import ViTAttention  # imports timm, which few segmenters need
    from mis_lightning.features.vit import PositionTableError, ViTFeatures

    make = partial(ViTFeatures, model, checkpoint, max_tokens=MAX_PATCHES, device=device)
    try:
        return ViTAttention(make())
    except PositionTableError:
        return ViTAttention(make(interpolation="timm"))


def balanced(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale rows and columns until both sum to 1, so that no patch attracts every walk (Sinkhorn's rule).

    Args:
        weights: Not negative, float32, ``(n, n)``.

    Returns:
        float32, ``(n, n)``; rows sum to 1, columns nearly.
    """
    chain = np.maximum(weights, 1e-12)
    for _ in range(BALANCING_ROUNDS):
        chain = chain / chain.sum(axis=0, keepdims=True)
        chain = chain / chain.sum(axis=1, keepdims=True)
    return chain.astype(np.float32)


def steps_to_reach(chain: NDArray[np.float32], start: int, reached: float, steps: int) -> NDArray[np.float64]:
    """When a walk from a patch comes to each patch: steps, interpolated between two, float64, ``(n,)``.

    Args:
        chain: Transition matrix, ``(n, n)``.
        start: The patch.
        reached: Share of the greatest probability at which a patch counts as reached.
        steps: Most steps; ``steps + 1`` is the distance of what is not reached.
    """
    place = np.zeros(len(chain), np.float32)
    place[start] = 1
    before = place / place.max()
    distance = np.where(before >= reached, 0.0, float(steps + 1))
    for step in range(1, steps + 1):
        place = place @ chain
        now = place / place.max()
        new = (now >= reached) & (distance > steps)
        gain = np.maximum(now - before, 1e-12)
        distance[new] = step - np.clip((now - reached) / gain, 0, 1)[new]
        before = now
        if (distance <= steps).all():
            break
    return distance


def connected(region: NDArray[np.bool_], patch: int) -> NDArray[np.bool_]:
    """The 4-connected part of a region ``(h, w)`` that holds a patch."""
    _, labels = cv2.connectedComponents(region.astype(np.uint8), connectivity=4)
    part: NDArray[np.bool_] = (labels == labels.ravel()[patch]) & region
    return part


def _patch(state: ChainState, click: Click) -> int:
    (height, width), (h, w) = state.shape, state.grid
    row, col = patch_of_pixels(height, h)[int(click.row)], patch_of_pixels(width, w)[int(click.col)]
    return int(row * w + col)
