"""Training samples drawn on the GPU: views of regions, regions pasted onto other images, and drawn shapes.

Everything is batched and nothing waits for the CPU. Positions are ``(row, col)`` in pixels of the stored
image; a *view* is a rectangle of it, turned, mirrored and stretched to the square that the network sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gpu_training.colours import change_colours, shift_colours
from gpu_training.shapes import draw_shapes
from gpu_training.tables import Tables


@dataclass(frozen=True)
class SceneSettings:
    """The law of the samples.

    Attributes:
        size: Side of the network's input in pixels.
        samples: Positions looked at for each pixel, along each axis; 1 costs a quarter.
        pasted: Share of the samples whose region is pasted onto another image.
        drawn: Share of the samples that are drawn shapes.
        whole: Chance to show (nearly) the whole image: for nodes, unions and salient regions.
        near: Range of the side of a close view, relative to the region's, each axis on its own.
        far: The same of a distant view; one factor for both axes.
        far_probability: Chance of a distant view where it is not the whole image.
        cut_probability: Chance of a view that cuts the region.
        trees: How often each tree is drawn from.
        slots: How often each kind of region is drawn: nodes, unions, salient regions.
        pasted_slots: The same for pasted regions.
        min_side: Least side of a view, in pixels of the stored image.
        min_area: Least area of a region in pixels of the view; smaller ones do not count in the loss.
    """

    size: int = 160
    samples: int = 2
    pasted: float = 0.2
    drawn: float = 0.15
    whole: tuple[float, float, float] = (0.15, 0.4, 0.6)
    near: tuple[float, float] = (1.05, 2.0)
    far: tuple[float, float] = (1.9, 6.0)
    far_probability: float = 0.35
    cut_probability: float = 0.06
    trees: tuple[float, float, float] = (0.5, 0.25, 0.25)
    slots: tuple[float, float, float] = (0.12, 0.58, 0.3)
    pasted_slots: tuple[float, float, float] = (0.1, 0.55, 0.35)
    min_side: float = 40.0
    min_area: int = 12


class Scene(NamedTuple):
    """A batch; ``P`` is the side of the network's input.

    Attributes:
        image: ``(B, 3, P, P)`` in [0, 1].
        mask: The region, bool, ``(B, 1, P, P)``.
        segments: Number of the segment each pixel lies in, int64 ``(B', P * P)``, for the first ``B'``
            samples, which show one image as it is.
        counts: Whether a sample counts, ``(B,)``, float.
    """

    image: Tensor
    mask: Tensor
    segments: Tensor
    counts: Tensor


class _View(NamedTuple):
    """``(B, P * s, P * s)`` positions in the image, and the image's number."""

    image: Tensor
    row: Tensor
    col: Tensor


class GpuTables:
    """The tables of :mod:`tables` in the memory of a device; images that are not ready are left out."""

    def __init__(self, tables: Tables, device: torch.device) -> None:
        ready = np.flatnonzero(tables.sizes[:, 0])

        def load(array: np.ndarray) -> Tensor:
            part = array if len(ready) == len(array) else array[ready]
            return torch.from_numpy(part).to(device)

        self.count = len(ready)
        self.device = device
        self.images = load(tables.images).permute(0, 3, 1, 2).contiguous()
        self.sizes = load(tables.sizes).float()
        self.upright = load(tables.upright).bool()
        places = load(tables.places)
        self.trees, self.side = places.shape[1], places.shape[2]
        self.places = places.flatten(0, 1)
        self.slices = load(tables.slices).flatten(0, 1)
        self.boxes = load(tables.boxes).flatten(0, 1)
        self.kinds = load(tables.kinds).long().flatten(0, 1)
        self.cuts = load(tables.cuts).flatten(0, 1)
        kinds = tables.kinds[ready[0], 0]
        self.slots = [np.flatnonzero(kinds == kind) for kind in range(3)]


class SceneSampler:
    """Draws scenes.

    Args:
        tables: Images, trees and regions.
        settings: The law.
        seed: Of the generator on the tables' device.
    """

    def __init__(self, tables: GpuTables, settings: SceneSettings, seed: int) -> None:
        self.tables = tables
        self.settings = settings
        self.generator = torch.Generator(tables.device).manual_seed(seed)
        self._axis = torch.arange(settings.size * settings.samples, device=tables.device, dtype=torch.float32)
        # Numbers brought to the device once: bringing one later would wait for all that it has to do.
        self._whole = torch.tensor(settings.whole, device=tables.device)
        self._first_slot = torch.tensor([slots[0] for slots in tables.slots], device=tables.device)
        self._slots = torch.tensor([len(slots) for slots in tables.slots], device=tables.device)
        self._trees = self._edges(settings.trees)
        self._kinds = self._edges(settings.slots)
        self._pasted_kinds = self._edges(settings.pasted_slots)

    def draw(self, count: int) -> Scene:
        """Draw a batch: views of regions first, then pasted regions, then drawn shapes."""
        pasted = round(count * self.settings.pasted)
        drawn = round(count * self.settings.drawn)
        image, mask, segments = self.natural(count - drawn)
        straight = count - drawn - pasted
        if pasted:
            over, target = self.paste(image[straight:], mask[straight:])
            image, mask = torch.cat([image[:straight], over]), torch.cat([mask[:straight], target])
        if drawn:
            backdrop, _, _ = self.natural(drawn)
            texture, _, _ = self.natural(drawn)
            shape, target = draw_shapes(backdrop, texture, self.generator)
            image, mask = torch.cat([image, shape]), torch.cat([mask, target])
        counts = (mask.flatten(1).sum(1) >= self.settings.min_area).float()
        return Scene(change_colours(image, self.generator), mask, segments[:straight], counts)

    # -- views of one image -------------------------------------------------------------------------------

    def natural(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Regions as they are in their images.

        Returns:
            Image ``(B, 3, P, P)`` in [0, 1], mask bool ``(B, 1, P, P)``, segments int64 ``(B, P * P)``.
        """
        number, tree, region = self._pick(count, self._kinds)
        view = self._look(number, tree, region)
        image = self._render(view)
        places = self._places(view, tree)
        share = F.avg_pool2d(self._inside(places, tree, region).float()[:, None], self.settings.samples)
        every = self.settings.samples
        centre = places[:, ::every, ::every].flatten(1).contiguous()
        segments = torch.searchsorted(self.tables.cuts[tree], centre, right=True) - 1
        return image, share >= 0.5, segments.clamp(min=0)

    def paste(self, background: Tensor, behind: Tensor) -> tuple[Tensor, Tensor]:
        """Put the region of another image onto each background, with other colours and a soft edge.

        Args:
            background: ``(B, 3, P, P)``.
            behind: Its own regions, bool, ``(B, 1, P, P)``; what is left of one is the target in a fifth of
                the samples.

        Returns:
            Image and mask.
        """
        count = len(background)
        number, tree, region = self._pick(count, self._pasted_kinds)
        box = self.tables.boxes[tree, region]
        extent = (box[:, 1::2] - box[:, ::2]).amax(1, keepdim=True).expand(-1, 2)
        factor = self._log_uniform(count, 1.1, 9.0)[:, None] * self._uniform(count, 2, low=0.8, high=1.25)
        side = extent * factor
        middle = (box[:, ::2] + box[:, 1::2]) / 2 + (self._uniform(count, 2) - 0.5) * (
            side - extent * 0.8
        ).clamp(min=0)
        view = self._turn(number, middle, side, inside=False, any_angle=True)
        height, width = self.tables.sizes[number].unbind(1)
        there = (view.row >= 0) & (view.row <= height[:, None, None] - 1)
        there &= (view.col >= 0) & (view.col <= width[:, None, None] - 1)
        inside = self._inside(self._places(view, tree), tree, region) & there
        alpha = F.avg_pool2d(inside.float()[:, None], self.settings.samples)
        soft = F.avg_pool2d(alpha, 3, 1, 1, count_include_pad=False)
        alpha = torch.where(self._uniform(count, 1, 1, 1) < 0.5, soft, alpha)
        front = shift_colours(self._render(view), self.generator, 0.25)
        image = background + alpha * (front - background)
        front_mask = alpha >= 0.5
        rest = behind & ~front_mask
        occluded = rest.flatten(1).sum(1) > 0.3 * behind.flatten(1).sum(1)
        take_rest = (self._uniform(count) < 0.2) & occluded & behind.flatten(1).any(1)
        return image, torch.where(take_rest[:, None, None, None], rest, front_mask)

    def _pick(self, count: int, kinds: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Numbers of images, of trees (in the flat tables) and of regions."""
        number = self._integers(count, self.tables.count)
        tree = number * self.tables.trees + self._choose(count, self._trees)
        kind = self._choose(count, kinds)
        region = self._first_slot[kind] + (self._uniform(count) * self._slots[kind]).long()
        return number, tree, region

    def _look(self, number: Tensor, tree: Tensor, region: Tensor) -> _View:
        """Choose what to show of an image around a region."""
        count, settings = len(number), self.settings
        box, size = self.tables.boxes[tree, region], self.tables.sizes[number]
        low, high = box[:, ::2], box[:, 1::2]
        extent, middle = high - low, (low + high) / 2

        near = torch.exp(self._range(count, 2, limits=np.log(settings.near)))
        far = torch.exp(self._range(count, 1, limits=np.log(settings.far)))
        distant = self._uniform(count, 1) < settings.far_probability
        # A distant view is square, as the crops around small objects are.
        longer = extent.amax(1, keepdim=True)
        side = torch.where(distant, longer * far, (extent * near).clamp(min=0.3 * longer * near))
        jitter = (self._uniform(count, 2) - 0.5) * torch.where(distant, (side - extent) * 0.7, 0.3 * extent)
        cut = self._uniform(count, 1) < settings.cut_probability
        side = torch.where(cut, extent * self._range(count, 2, limits=(0.45, 1.0)), side)
        side = side.clamp(min=settings.min_side)
        centre = middle + torch.where(cut, (self._uniform(count, 2) - 0.5) * 0.6 * extent, jitter)

        chance = self._whole[self.tables.kinds[tree, region]]
        whole = (self._uniform(count) < chance)[:, None]
        kept = self._range(count, 2, limits=(0.75, 1.0))
        kept = torch.where(self._uniform(count, 1) < 0.4, torch.ones_like(kept), kept)
        whole_centre = size * (kept / 2 + (1 - kept) * self._uniform(count, 2))
        side = torch.where(whole, size * kept, side)
        centre = torch.where(whole, whole_centre, centre)
        return self._turn(number, centre, side, inside=True)

    def _turn(
        self, number: Tensor, centre: Tensor, side: Tensor, inside: bool, any_angle: bool = False
    ) -> _View:
        """The positions that each pixel of a view looks at, two by two of them.

        Args:
            number: Of the images, ``(B,)``.
            centre: ``(B, 2)``.
            side: ``(B, 2)``.
            inside: Cut the view off at the image's border, as inference does.
            any_angle: Turn every image by a good deal, not only those without an up.
        """
        count, P = len(number), self.settings.size
        size = self.tables.sizes[number]
        if inside:
            low = (centre - side / 2).clamp(min=0).minimum(size - 8)
            high = (centre + side / 2).minimum(size).maximum(low + 8)
            centre, side = (low + high) / 2, high - low
        upright = self.tables.upright[number] & (not any_angle)
        # from pixels of the view to [-1/2, 1/2], two samples for each pixel, some spread wide, some narrow
        spread = torch.where(self._uniform(count, 1) < 0.35, 0.0, self._range(count, 1, limits=(0.6, 1.2)))
        spread = torch.where(self._uniform(count, 1) < 0.1, self._range(count, 1, limits=(1.2, 3.0)), spread)
        S = self.settings.samples
        offset = (self._axis % S + 0.5) / S - 0.5
        unit = (self._axis // S + 0.5 + offset * spread) / P - 0.5  # (B, P * S)
        row = unit[:, :, None].expand(-1, -1, S * P)
        col = unit[:, None, :].expand(-1, S * P, -1)
        transpose = self._chance(count, torch.where(upright, 0.03, 0.5))
        row, col = torch.where(transpose, col, row), torch.where(transpose, row, col)
        row = torch.where(self._chance(count, torch.where(upright, 0.06, 0.5)), -row, row)
        col = torch.where(self._uniform(count, 1, 1) < 0.5, -col, col)
        row, col = row * side[:, :1, None], col * side[:, 1:, None]
        limit = torch.where(upright, 0.15, 0.8)
        turned = self._uniform(count) < (0.9 if any_angle else 0.25)
        angle = (self._uniform(count) * 2 - 1) * limit * turned
        cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
        row, col = cos * row - sin * col, sin * row + cos * col
        return _View(number, row + centre[:, :1, None] - 0.5, col + centre[:, 1:, None] - 0.5)

    def _render(self, view: _View) -> Tensor:
        """The image of a view: four bilinear samples for each pixel, ``(B, 3, P, P)`` in [0, 1]."""
        height, width = self.tables.sizes[view.image].unbind(1)
        row = view.row.clamp(min=0).minimum(height[:, None, None] - 1)
        col = view.col.clamp(min=0).minimum(width[:, None, None] - 1)
        grid = torch.stack([col, row], dim=3) * (2 / (self.tables.side - 1)) - 1
        image = self.tables.images[view.image].float() / 255
        return F.avg_pool2d(
            F.grid_sample(image, grid, padding_mode="border", align_corners=True), self.settings.samples
        )

    def _places(self, view: _View, tree: Tensor) -> Tensor:
        """The place of the leaf under each position, int32, ``(B, 2P, 2P)``."""
        height, width = self.tables.sizes[view.image].unbind(1)
        row = view.row.round().clamp(min=0).minimum(height[:, None, None] - 1).long()
        col = view.col.round().clamp(min=0).minimum(width[:, None, None] - 1).long()
        side = self.tables.side
        index = (tree[:, None, None] * side + row) * side + col
        return self.tables.places.flatten()[index]

    def _inside(self, places: Tensor, tree: Tensor, region: Tensor) -> Tensor:
        """Whether each place belongs to the region, bool, like ``places``."""
        slices = self.tables.slices[tree, region][:, :, :, None, None]  # (B, SLICES, 2, 1, 1)
        inside = torch.zeros_like(places, dtype=torch.bool)
        for part in range(slices.shape[1]):
            inside |= (places >= slices[:, part, 0]) & (places < slices[:, part, 1])
        return inside

    # -- randomness ---------------------------------------------------------------------------------------

    def _uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        drawn = torch.rand(shape, generator=self.generator, device=self.tables.device)
        return low + (high - low) * drawn

    def _range(self, *shape: int, limits: tuple[float, float] | np.ndarray) -> Tensor:
        return self._uniform(*shape, low=float(limits[0]), high=float(limits[1]))

    def _log_uniform(self, count: int, low: float, high: float) -> Tensor:
        return torch.exp(self._uniform(count, low=float(np.log(low)), high=float(np.log(high))))

    def _integers(self, count: int, below: int) -> Tensor:
        return (self._uniform(count) * below).long().clamp(max=below - 1)

    def _chance(self, count: int, probability: Tensor) -> Tensor:
        return (self._uniform(count) < probability)[:, None, None]

    def _choose(self, count: int, edges: Tensor) -> Tensor:
        return (self._uniform(count)[:, None] >= edges).sum(1)

    def _edges(self, weights: tuple[float, ...]) -> Tensor:
        """Where the uniform numbers of one choice end and those of the next begin."""
        shares = np.cumsum(weights[:-1]) / np.sum(weights)
        return torch.tensor(shares, device=self.tables.device, dtype=torch.float32)
