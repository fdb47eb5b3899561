"""What the GPU draws regions from: merge trees and lists of regions, made on the CPU by many processes.

A node of a merge tree is a slice of the places of its leaves, so a region is a few slices of a map of
places. Once these tables lie in the GPU's memory, a mask at any size, place and angle is a comparison of
numbers, and no mask is ever stored.

No torch here: the processes are started before it is imported.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from mis_lightning.features.colour_texture import ColourTexture
from mis_lightning.merge_tree.tree import MergeTree
from mis_lightning.merge_tree.ward import build_merge_tree
from mis_lightning.regions.segment_unions import fill_holes

SIDE = 384
TREES = 3
SLICES = 16
SLOTS = {"node": 24, "union": 108, "salient": 28}
REGIONS = sum(SLOTS.values())
CUT = 256
_NOWHERE = np.iinfo(np.int32).max

Slices = list[tuple[int, int]]


@dataclass(frozen=True)
class Tables:
    """Arrays in memory that processes share; ``N`` images, ``T`` trees an image, ``R`` regions a tree.

    Attributes:
        images: uint8, ``(N, SIDE, SIDE, 3)``, each in its top left corner.
        sizes: int32, ``(N, 2)``; height and width; 0 where an image has not been read.
        upright: uint8, ``(N,)``: whether the image has an up and a down.
        places: int32, ``(N, T, SIDE, SIDE)``: the place of each pixel's leaf in its tree.
        slices: int32, ``(N, T, R, SLICES, 2)``: first place and one past the last of each part of a region;
            unused ones are 0.
        boxes: float32, ``(N, T, R, 4)``: rows from, to, columns from, to, in pixels, half open.
        kinds: uint8, ``(N, T, R)``: 0 node, 1 union, 2 salient.
        cuts: int32, ``(N, T, CUT)``: first places of the segments of a cut, ascending.
    """

    images: NDArray[np.uint8]
    sizes: NDArray[np.int32]
    upright: NDArray[np.uint8]
    places: NDArray[np.int32]
    slices: NDArray[np.int32]
    boxes: NDArray[np.float32]
    kinds: NDArray[np.uint8]
    cuts: NDArray[np.int32]

    @classmethod
    def empty(cls, count: int, folder: Path | None = None) -> Tables:
        """Tables of ``count`` images, all zero, in anonymous memory that child processes write to.

        Args:
            count: Number of images.
            folder: Keep them in files there instead, 2.4 MB an image; those that are there already are
                opened with what they hold, so that one run takes them over from another.
        """

        def shared(name: str, shape: tuple[int, ...], kind: type) -> NDArray:
            if folder is not None:
                file = folder / f"{name}.{'x'.join(map(str, shape))}"
                return np.memmap(file, kind, "r+" if file.exists() else "w+", shape=shape)
            size = int(np.prod(shape)) * np.dtype(kind).itemsize
            return np.frombuffer(mmap.mmap(-1, size), kind).reshape(shape)

        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        trees = (count, TREES)
        return cls(
            shared("images", (count, SIDE, SIDE, 3), np.uint8),
            shared("sizes", (count, 2), np.int32),
            shared("upright", (count,), np.uint8),
            shared("places", (*trees, SIDE, SIDE), np.int32),
            shared("slices", (*trees, REGIONS, SLICES, 2), np.int32),
            shared("boxes", (*trees, REGIONS, 4), np.float32),
            shared("kinds", (*trees, REGIONS), np.uint8),
            shared("cuts", (*trees, CUT), np.int32),
        )

    def fill(self, number: int, image: NDArray[np.uint8], salient: NDArray[np.uint8], upright: bool) -> None:
        """Build the trees of one image and draw its regions; the generator is a function of ``number``."""
        generator = np.random.default_rng([7, number])
        height, width = image.shape[:2]
        self.images[number, :height, :width] = image
        self.upright[number] = upright
        for which, tree in enumerate(build_trees(image)):
            rows = np.arange(height) * tree.grid[0] // height
            cols = np.arange(width) * tree.grid[1] // width
            places = tree.places.reshape(tree.grid)
            self.places[number, which, :height, :width] = places[rows[:, None], cols]
            starts = np.sort(cut_slices(tree, min(CUT, tree.n_leaves))[0])
            self.cuts[number, which] = _NOWHERE
            self.cuts[number, which, : len(starts)] = starts
            scale = (height / tree.grid[0], width / tree.grid[1])
            slot = 0
            for kind, (name, wanted) in enumerate(SLOTS.items()):
                found = list(draw_regions(tree, name, wanted, salient, generator))
                if not found:  # an image of one colour has no salient part
                    found = [standing_out(tree, generator)]
                for index in range(wanted):
                    parts = found[index % len(found)]
                    self.slices[number, which, slot, : len(parts)] = parts
                    self.boxes[number, which, slot] = box_of(places, parts, scale)
                    self.kinds[number, which, slot] = kind
                    slot += 1
        self.sizes[number] = height, width  # last: now it is whole


def build_trees(image: NDArray[np.uint8]) -> Iterator[MergeTree]:
    """Trees of colour at each pixel, of faint colour, and of colour and texture."""
    yield build_merge_tree(*ColourTexture(1, SIDE, frequencies=32, max_tokens=SIDE * SIDE)(image))
    soft = cv2.GaussianBlur(image, (0, 0), 1.2)
    yield build_merge_tree(*ColourTexture(2, SIDE, 1.0, 5.0, frequencies=32)(soft))
    yield build_merge_tree(*texture_features(image))


def texture_features(image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], tuple[int, int]]:
    """Random Fourier features of smoothed colour, and of contrast at two scales, for patches of 2 pixels."""
    size = (max(1, image.shape[1] // 2), max(1, image.shape[0] // 2))
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    channels = [cv2.GaussianBlur(lab, (0, 0), 2.5) * np.float32([0.06, 0.12, 0.12])]
    light = lab[:, :, 0]
    for sigma in (2.0, 5.0):
        mean = cv2.GaussianBlur(light, (0, 0), sigma)
        spread = cv2.GaussianBlur(light * light, (0, 0), sigma) - mean * mean
        channels.append(np.log1p(np.sqrt(np.maximum(spread, 0)))[:, :, None] * np.float32(0.7))
    shrunk = [cv2.resize(one, size, interpolation=cv2.INTER_AREA) for one in channels]
    values = np.concatenate([one.reshape(size[0] * size[1], -1) for one in shrunk], axis=1)
    waves = np.random.default_rng(1).standard_normal((values.shape[1], 32)).astype(np.float32)
    phases = values @ waves
    features = np.hstack([np.cos(phases), np.sin(phases)]) / np.float32(np.sqrt(32))
    return np.ascontiguousarray(features, np.float32), (size[1], size[0])


def cut_slices(tree: MergeTree, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
    """First places and lengths of the segments that a tree is cut into, by label, and the map of labels."""
    labels = tree.cut(count)
    in_order = labels.ravel()[tree.order]
    first = np.flatnonzero(np.diff(in_order, prepend=-1))
    starts = np.empty(len(first), np.int64)
    lengths = np.empty(len(first), np.int64)
    starts[in_order[first]] = first
    lengths[in_order[first]] = np.diff(first, append=len(in_order))
    return starts, lengths, labels


def draw_regions(
    tree: MergeTree, name: str, wanted: int, salient: NDArray[np.uint8], generator: np.random.Generator
) -> Iterator[Slices]:
    """Up to ``wanted`` regions of a kind."""
    if name == "node":
        for _ in range(wanted):
            yield standing_out(tree, generator)
    elif name == "union":
        yield from unions(tree, wanted, generator)
    else:
        for count in (40, 120, 300):
            yield from salient_parts(tree, count, salient)


def standing_out(tree: MergeTree, generator: np.random.Generator) -> Slices:
    """Of the nodes around a random leaf, of a random size to eight times that, the one that stands out most.

    It is the one whose parent cost the most in proportion to itself, as ``TreeAnswers`` chooses; in a third
    of the draws any of them.
    """
    path = tree.ancestors(int(generator.integers(tree.n_leaves)))[:-1]
    shares = tree.sizes[path] / tree.n_leaves
    low = float(np.exp(generator.uniform(np.log(0.0006), np.log(0.3))))
    fit = np.flatnonzero((shares >= low) & (shares <= min(8 * low, 0.7)))
    if len(fit) == 0:
        fit = np.array([int(np.abs(np.log(shares / low)).argmin())])
    if generator.random() < 1 / 3:
        chosen = int(generator.choice(fit))
    else:
        costs = np.concatenate([np.zeros(tree.n_leaves, np.float32), tree.cost])
        nodes = path[fit]
        chosen = int(fit[np.argmax(costs[tree.parent[nodes]] / np.maximum(costs[nodes], 1e-6))])
    return [tree.span(int(path[chosen]))]


def unions(
    tree: MergeTree,
    wanted: int,
    generator: np.random.Generator,
    growth: float = 0.5,
    max_share: float = 0.6,
    max_border: float = 0.2,
) -> Iterator[Slices]:
    """Connected unions of segments, holes filled: the law of ``SegmentUnions``, for small objects too.

    Half of the cuts have 5 to 50 segments, half 50 to 800. Each is used for several unions. The more of its
    box one fills, the likelier it is kept: objects are compact.
    """
    found, tries = 0, 0
    while found < wanted and tries < 16:
        tries += 1
        low, high = ((5, 50), (50, 800))[tries % 2]
        count = min(round(float(np.exp(generator.uniform(np.log(low), np.log(high))))), tree.n_leaves)
        starts, lengths, labels = cut_slices(tree, count)
        near = neighbours(labels, count)
        border = np.zeros(count, np.int64)
        for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
            border += np.bincount(edge, minlength=count)
        boxes = segment_boxes(labels)
        for _ in range(24):
            chosen = {int(generator.integers(count))}
            while generator.random() < growth:
                around = sorted(set().union(*(near[one] for one in chosen)) - chosen)
                if not around:
                    break
                chosen.add(int(generator.choice(around)))
            least = generator.uniform(0.3, 0.75)
            members, extent = filled(labels, boxes, chosen)
            share = lengths[members].sum() / tree.n_leaves
            if extent < least or not 0.0008 < share <= max_share:
                continue
            if border[members].sum() > max_border * border.sum():
                continue
            parts = joined(starts[members], lengths[members])
            if len(parts) <= SLICES:
                found += 1
                yield parts
            if found == wanted:
                return


def neighbours(labels: NDArray[np.int32], count: int) -> list[set[int]]:
    """The segments that touch each segment."""
    pairs = [
        (one.ravel().astype(np.int64) * count + other.ravel())[one.ravel() != other.ravel()]
        for one, other in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1]))
    ]
    near: list[set[int]] = [set() for _ in range(count)]
    for pair in np.unique(np.concatenate(pairs)):
        one, other = divmod(int(pair), count)
        near[one].add(other)
        near[other].add(one)
    return near


def segment_boxes(labels: NDArray[np.int32]) -> NDArray[np.int64]:
    """Rows from, to, columns from, to of each segment, half open, ``(count, 4)``."""
    slices = find_objects(labels + 1)
    return np.array([(rows.start, rows.stop, cols.start, cols.stop) for rows, cols in slices], np.int64)


def filled(
    labels: NDArray[np.int32], boxes: NDArray[np.int64], chosen: set[int]
) -> tuple[NDArray[np.int64], float]:
    """The chosen segments and those that they enclose, and the share of their box that they cover."""
    some = list(chosen)
    (top, left), (bottom, right) = boxes[some][:, ::2].min(0), boxes[some][:, 1::2].max(0)
    window = labels[top:bottom, left:right]
    wanted = np.zeros(len(boxes), np.bool_)
    wanted[some] = True
    whole = fill_holes(wanted[window])
    return np.flatnonzero(np.bincount(window[whole])), float(whole.mean())


def joined(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> Slices:
    """Slices in ascending order, those that touch made one."""
    parts: Slices = []
    for index in np.argsort(starts):
        first, last = int(starts[index]), int(starts[index] + lengths[index])
        if parts and parts[-1][1] == first:
            parts[-1] = (parts[-1][0], last)
        else:
            parts.append((first, last))
    return parts


def salient_parts(tree: MergeTree, count: int, salient: NDArray[np.uint8]) -> Iterator[Slices]:
    """Each salient mask as the segments of a cut that lie in it by more than half, holes filled."""
    starts, lengths, labels = cut_slices(tree, min(count, tree.n_leaves))
    h, w = tree.grid
    for mask in salient:
        soft = cv2.resize(mask, (w, h), interpolation=cv2.INTER_LINEAR).ravel()
        share = np.bincount(labels.ravel(), soft, minlength=len(starts)) / (255.0 * lengths)
        chosen = np.flatnonzero(share > 0.5)
        if not 0.01 < lengths[chosen].sum() / tree.n_leaves < 0.7:
            continue
        members, _ = filled(labels, segment_boxes(labels), {int(one) for one in chosen})
        parts = joined(starts[members], lengths[members])
        largest = sorted(parts, key=lambda part: part[0] - part[1])[:SLICES]
        if sum(b - a for a, b in largest) > 0.97 * sum(b - a for a, b in parts):
            yield sorted(largest)


def box_of(places: NDArray[np.int32], parts: Slices, scale: tuple[float, float]) -> tuple[float, ...]:
    """The box of a region in pixels of the image: rows from, to, columns from, to."""
    inside = np.zeros(places.shape, np.bool_)
    for first, last in parts:
        inside |= (places >= first) & (places < last)
    rows, cols = inside.any(axis=1).nonzero()[0], inside.any(axis=0).nonzero()[0]
    return (rows[0] * scale[0], (rows[-1] + 1) * scale[0], cols[0] * scale[1], (cols[-1] + 1) * scale[1])
