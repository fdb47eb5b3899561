"""First clicks and the looks at them: on regions of merge trees (no label), and on labelled objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mis_lightning.clicks.encoding import pack_points
from mis_lightning.clicks.simulated_user import next_click
from mis_lightning.data.benchmarks import GrabCut
from mis_lightning.data.bundled import BundledBenchmark
from mis_lightning.features.colour_texture import ColourTexture
from mis_lightning.images import list_images, read_image
from mis_lightning.instance_maps import instance_ids, read_instances
from mis_lightning.merge_tree.sampling import node_mask
from mis_lightning.merge_tree.tree import MergeTree
from mis_lightning.merge_tree.ward import build_merge_tree
from mis_lightning.metrics.functional import iou
from mis_lightning.models.click_network import ClickNetwork
from mis_lightning.regions.segment_unions import SegmentUnions, fill_holes
from mis_lightning.segmenters import look_cues
from mis_lightning.segmenters.first_look import FirstLook
from mis_lightning.segmenters.look_cues import CUES, measure_looks
from mis_lightning.segmenters.zoom_in import crop, paste, to_crop
from mis_lightning.structures import Click, Prompt, Sample

SHARES = (0.0004, 0.4)
"""Least and largest share of the image of a tree's node that is clicked, drawn log-uniformly."""

LEAST_PIXELS = 60


@dataclass(frozen=True)
class Looks:
    """What the looks at ``N`` first clicks gave; ``K`` looks at most, ``nan`` where there are fewer.

    Attributes:
        cues: float32, ``(N, K, C)``.
        ious: IoU of each look's answer with the object, float32, ``(N, K)``.
        sides: Longer side of each window, float32, ``(N, K)``.
        areas: Pixels of each answer, float32, ``(N, K)``.
        area: Pixels of the object, int64, ``(N,)``.
        image: Number of its image, int64, ``(N,)``.
    """

    cues: NDArray[np.float32]
    ious: NDArray[np.float32]
    sides: NDArray[np.float32]
    areas: NDArray[np.float32]
    area: NDArray[np.int64]
    image: NDArray[np.int64]

    @classmethod
    def collect(
        cls,
        model: ClickNetwork,
        objects: Iterable[tuple[int, Sample, Click]],
        look: FirstLook,
        flip: bool = False,
    ) -> Looks:
        """Ask the model at every window of every first click; ``flip`` averages with mirrored inputs."""
        most = look.most
        rows: list[tuple[NDArray[np.float32], ...]] = []
        numbers: list[tuple[int, int]] = []
        for number, sample, click in objects:
            image = torch.from_numpy(np.array(sample.image.transpose(2, 0, 1), order="C"))
            shape = (sample.mask.shape[0], sample.mask.shape[1])
            rois = look.rois(shape, click)
            size = look.size or model.input_size
            with torch.inference_mode():
                views = torch.stack([crop(image, roi, size) for roi in rois])
                at = [to_crop(click, roi, size) for roi in rois]
                answers = _ask(model, views, at)
                if flip:
                    mirrored = [one._replace(col=size[1] - one.col - 1) for one in at]
                    answers = (answers + _ask(model, views.flip(-1), mirrored).flip(-1)) / 2
                answers = answers.sigmoid()
                masks = [paste(one, roi, shape) > 0.5 for one, roi in zip(answers, rois, strict=True)]
            cues = np.full((most, len(CUES)), np.nan, np.float32)
            asked = look_cues.Looks(rois, views.numpy(), answers.numpy(), shape)
            cues[: len(rois)] = measure_looks(asked, click)
            row = np.full((3, most), np.nan, np.float32)
            row[0, : len(rois)] = [iou(mask.numpy(), sample.mask, sample.ignore) for mask in masks]
            row[1, : len(rois)] = asked.sides()
            row[2, : len(rois)] = [int(mask.sum()) for mask in masks]
            rows.append((cues, *row))
            numbers.append((int(sample.mask.sum()), number))
        columns = [np.stack(column) for column in zip(*rows, strict=True)]
        counts = np.array(numbers, np.int64)
        return cls(columns[0], columns[1], columns[2], columns[3], counts[:, 0], counts[:, 1])

    def save(self, path: Path) -> None:
        """Write an ``.npz``."""
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, **vars(self))

    @classmethod
    def read(cls, path: Path) -> Looks:
        """Read what :meth:`save` wrote."""
        with np.load(path) as file:
            return cls(**{name: file[name] for name in file.files})

    @classmethod
    def join(cls, parts: Sequence[Looks]) -> Looks:
        """All clicks of several, one part after the other; images keep the number they have in their part."""
        return cls(**{name: np.concatenate([vars(part)[name] for part in parts]) for name in vars(parts[0])})

    def __getitem__(self, chosen: NDArray[np.bool_]) -> Looks:
        """Those clicks."""
        return Looks(**{name: values[chosen] for name, values in vars(self).items()})


def _ask(model: ClickNetwork, views: Tensor, clicks: Sequence[Click]) -> Tensor:
    """Logits of first clicks, one in each view, float32, ``(n, h, w)``."""
    prompt = Prompt(pack_points([[click] for click in clicks]), torch.zeros_like(views[:, :1]))
    logits: Tensor = model(views, prompt)[:, 0]
    return logits


def labelled(
    folder: Path, name: str, objects_per_image: int = 4, aside: bool = False
) -> Iterator[tuple[int, Sample, Click]]:
    """The first objects of each image of a set, and a first click.

    Args:
        folder: With ``GrabCut`` and ``domains`` in it.
        name: ``GrabCut``, ``bundled``, or the name of a domain.
        objects_per_image: How many.
        aside: Not the simulated user's click in the very middle, but anywhere at least half as deep.
    """
    for number, sample in _samples(folder, name, objects_per_image):
        if aside:
            yield number, sample, _click_within(sample.mask, 0.5, np.random.default_rng(number))
        else:
            yield number, sample, next_click(sample.mask, np.zeros_like(sample.mask), sample.ignore)


def _samples(folder: Path, name: str, objects_per_image: int) -> Iterator[tuple[int, Sample]]:
    if name in ("GrabCut", "bundled"):
        benchmark = GrabCut(folder / "GrabCut") if name == "GrabCut" else BundledBenchmark()
        seen: dict[str, int] = {}
        for index in range(len(benchmark)):
            sample = benchmark[index]
            yield seen.setdefault(sample.name.split("#")[0], len(seen)), sample
        return
    for number, path in enumerate(list_images(folder / "domains" / name / "images")):
        image, labels = (
            read_image(path),
            read_instances(folder / "domains" / name / "masks" / f"{path.stem}.png"),
        )
        for instance in instance_ids(labels)[:objects_per_image]:
            yield number, Sample(image, labels == instance, None, f"{path.name}#{instance}")


def unlabelled(paths: list[Path], clicks_per_image: int, seed: int) -> Iterator[tuple[int, Sample, Click]]:
    """Regions of the merge trees of images: half of them nodes that stand out, half unions of segments.

    Args:
        paths: Images.
        clicks_per_image: How many of each, at most.
        seed: Of the draws; those of one image do not depend on the others.
    """
    extractor = ColourTexture(stride=1, max_side=200, frequencies=32, max_tokens=50_000)
    unions = SegmentUnions(segments=(4, 150), min_share=SHARES[0], union_probability=1.0)
    for number, path in enumerate(paths):
        generator = np.random.default_rng([seed, number])
        image = read_image(path)
        tree = build_merge_tree(*extractor(image))
        for _ in range(clicks_per_image):
            if generator.random() < 0.5:
                mask = unions.draw(tree, (image.shape[0], image.shape[1]), generator)
            else:
                node = _node(tree, generator)
                if node is None:
                    continue
                mask = node_mask(tree, node, (image.shape[0], image.shape[1]))
                mask = fill_holes(mask) if generator.random() < 0.5 else mask
            if mask.sum() >= LEAST_PIXELS and not mask.all():
                yield number, Sample(image, mask, None, f"{path.name}"), _click(mask, generator)


def _node(tree: MergeTree, generator: np.random.Generator) -> int | None:
    """Above eight leaves, within a factor 2 of a log-uniform share of the image: what stands out most."""
    share = float(np.exp(generator.uniform(*np.log(SHARES))))
    cost = np.concatenate([np.zeros(tree.n_leaves, np.float32), tree.cost])
    shares = tree.sizes / tree.n_leaves
    best: tuple[float, int] | None = None
    for leaf in generator.integers(tree.n_leaves, size=8):
        for node in tree.ancestors(int(leaf))[:-1]:
            if share / 2 < shares[node] < share * 2:
                stands_out = float(np.log((cost[tree.parent[node]] + 1e-3) / (cost[node] + 1e-3)))
                best = max(best or (stands_out, int(node)), (stands_out, int(node)))
    return None if best is None else best[1]


def _click(mask: NDArray[np.bool_], generator: np.random.Generator) -> Click:
    """Half of the users click in the very middle, the others at 0.8 or 0.5 of its depth or deeper."""
    return _click_within(mask, float(generator.choice([1.0, 1.0, 0.8, 0.5])), generator)


def _click_within(mask: NDArray[np.bool_], depth: float, generator: np.random.Generator) -> Click:
    """A click on any pixel of at least that share of the largest depth."""
    padded = cv2.copyMakeBorder(mask.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    depths = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    rows, cols = np.nonzero(depths >= depth * depths.max() - 1e-6)
    chosen = generator.integers(len(rows))
    return Click(int(rows[chosen]), int(cols[chosen]), True)
