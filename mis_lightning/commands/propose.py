"""``mis propose``: objects that look like a few marked ones, on all images and slices of a folder."""

from __future__ import annotations

import hashlib
import json
import shlex
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mis_lightning.alike.model import AlikeModel, MarkedImage
from mis_lightning.alike.propose import propose_on
from mis_lightning.alike.settings import AlikeSettings
from mis_lightning.commands import options
from mis_lightning.console import counted, told
from mis_lightning.data.labelled_images import LabelledImages
from mis_lightning.data.training_images import image_key
from mis_lightning.errors import InputError, Note
from mis_lightning.files import sweep, written_whole
from mis_lightning.formats.coco import write_coco
from mis_lightning.formats.named_masks import NamedMask, NamedMasks
from mis_lightning.formats.rle import decode_rle, encode_rle
from mis_lightning.formats.volume_files import SUFFIXES, open_slices, slices_of
from mis_lightning.images import IMAGE_SUFFIXES, common_folder, list_images
from mis_lightning.segmenters.base import Segmenter
from mis_lightning.segmenters.registry import open_segmenter

VERSION = 1
"""Raised with every change of what is proposed: kept proposals of before are then made anew."""


def main(args: Sequence[str]) -> int:
    """Run ``mis propose IMAGES --examples MASKS --out DIR``.

    Raises:
        InputError: The options do not fit, there are no examples, or an image cannot be read.
    """
    given = options.propose().parse_args(list(args))
    if not 0 <= given.score <= 1:
        raise InputError(f"Expected --score in [0, 1], but got {given.score}.")
    segmenter = None if given.model == options.NONE else open_segmenter(given.model, device=given.device)
    settings = AlikeSettings(seed=given.seed)
    reading = options.reading(given)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Note)  # of images without masks: there objects are looked for
        examples = LabelledImages(given.images, given.examples, reading, given.axis, given.ignore_label)
        marked = _marked(examples, given.examples)
    paths = list_images(given.images, (*IMAGE_SUFFIXES, *SUFFIXES))
    base = given.images if given.images.is_dir() else common_folder(paths)
    masks = examples.without_images()
    paths = [path for path in paths if masks.isdisjoint(((real := path.resolve()), *real.parents))]
    files = {image_key(path.absolute(), base.absolute()): path for path in paths}
    slices = {key: slices_of(key, path, given.axis, reading) for key, path in files.items()}
    images = {name: (files[key], number) for key, found in slices.items() for name, number in found}
    volume = lru_cache(maxsize=1)(lambda path: open_slices(path, given.axis, reading))
    digest = _digest(marked, settings, segmenter)
    count = sum(len(one.examples) for one in marked.values())
    print(
        f"{counted(count, 'example')} on {counted(len(marked), 'image')}; "
        f"{counted(len(images), 'image')} to search."
    )
    kept = given.out / "proposals"
    if kept.is_dir():
        sweep(kept)
    model: AlikeModel | None = None
    found: list[NamedMasks] = []
    for key, (path, number) in told(images.items(), len(images), "proposals", "image"):
        file = kept / f"{key}.json"
        content = _read(file, digest)
        if content is None:
            model = model if model is not None else AlikeModel(list(marked.values()), settings)
            image = reading(path) if number is None else volume(path)[number]
            content = {"digest": digest, **_look(image, key, model, marked, segmenter)}
            with written_whole(file) as temporary:
                temporary.write_text(json.dumps(content), encoding="utf-8")
        objects = tuple(
            NamedMask("alike", entry["counts"], score=entry["score"])
            for entry in content["proposals"]
            if entry["score"] >= given.score
        )
        found.append(NamedMasks(key, (content["height"], content["width"]), objects))
    written = write_coco(given.out / "coco.json", found)
    following = ["mis", "annotate", str(given.images), "--masks", str(given.out / "coco.json")]
    print(
        f"{counted(written, 'proposal')} in {given.out / 'coco.json'}; to accept and correct them: "
        f"{shlex.join(following)}"
    )
    return 0


def _marked(examples: LabelledImages, where: Path) -> dict[str, MarkedImage]:
    """The images with examples, by key."""
    marked = {}
    for pair in examples:
        read, objects = examples.read(pair)
        whole = [
            name for name, area in objects.areas.items() if area == read.rgb.shape[0] * read.rgb.shape[1]
        ]
        if whole:
            print(f"left out: object {whole[0]} of {pair.key}, which covers the whole image")
        masks = [objects.mask(name) for name, area in objects.areas.items() if area and name not in whole]
        if masks:
            marked[pair.key] = MarkedImage(read.rgb, masks)
    if not marked:
        raise InputError(
            f"Expected marked objects in {where}, but all masks are empty or whole images: mark one first."
        )
    return marked


def _look(
    image: NDArray[np.uint8],
    key: str,
    model: AlikeModel,
    marked: dict[str, MarkedImage],
    segmenter: Segmenter[Any] | None,
) -> dict[str, Any]:
    """The proposals of one image as JSON values."""
    shape = (image.shape[0], image.shape[1])
    taken = marked[key].examples if key in marked else ()
    proposals = [
        {"score": round(one.score, 4), "counts": encode_rle(one.whole(shape))}
        for one in propose_on(image, model, taken, segmenter)
    ]
    return {"height": shape[0], "width": shape[1], "proposals": proposals}


def _read(file: Path, digest: str) -> dict[str, Any] | None:
    """What was kept of an image; ``None`` where nothing was, or it came from other examples."""
    try:
        content = json.loads(file.read_bytes())
        shape = (int(content["height"]), int(content["width"]))
        for entry in content["proposals"]:
            decode_rle(entry["counts"], shape)
            float(entry["score"])
        return content if content["digest"] == digest else None
    except (OSError, ValueError, KeyError, TypeError, InputError):
        return None  # missing or damaged: made anew


def _digest(marked: dict[str, MarkedImage], settings: AlikeSettings, segmenter: Segmenter[Any] | None) -> str:
    """Names everything that determines the proposals."""
    asked = None if segmenter is None else [segmenter.identity, segmenter.settings()]
    digest = hashlib.sha256(json.dumps([VERSION, asdict(settings), asked], default=str).encode())
    for key, one in sorted(marked.items()):
        digest.update(f"{key}\n".encode("utf-8", "surrogateescape"))
        for mask in one.examples:
            digest.update(encode_rle(mask).encode())
        digest.update(np.ascontiguousarray(one.image).tobytes())
    return digest.hexdigest()[:16]
