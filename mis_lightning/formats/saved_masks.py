"""The masks in the JSON file that ``mis annotate`` saves for each image, read without its clicks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mis_lightning.errors import InputError
from mis_lightning.formats.named_masks import NamedMask, NamedMasks
from mis_lightning.formats.overlap import Overlap, check_overlap, paint
from mis_lightning.formats.rle import decode_rle, encode_rle
from mis_lightning.mask_box import BoxedMask


def without_overlaps(
    image: str, shape: tuple[int, int], objects: Mapping[int, NamedMask], policy: Overlap
) -> NamedMasks:
    """The masks after the overlap policy.

    Args:
        image: Path of the image inside its folder.
        shape: ``(H, W)``.
        objects: What each object wants, by id, in the order they were made.
        policy: Who gets what several want.

    Raises:
        InputError: A mask is damaged.
    """
    if policy == "allow":  # they are encoded as they are
        return NamedMasks(image, shape, tuple(objects.values()))
    wanted = ((number, BoxedMask.of(decode_rle(one.counts, shape))) for number, one in objects.items())
    labels = paint(wanted, shape, policy)
    seen = (replace(one, counts=encode_rle(labels == number)) for number, one in objects.items())
    return NamedMasks(image, shape, tuple(seen))


def read_saved_masks(path: str | Path) -> NamedMasks:
    """Read the masks of one image, after the overlap policy, in the order their objects were made.

    Raises:
        InputError: The file cannot be read, or is no click log with masks.
    """
    try:
        content: Any = json.loads(Path(path).read_bytes())
        image = content["image"]
        shape = int(image["height"]), int(image["width"])
        objects = {
            int(one["id"]): NamedMask(
                str(one["name"]), one["mask"]["counts"], category=one.get("category"), id=int(one["id"])
            )
            for one in content["objects"]
        }
        masks = without_overlaps(str(image["name"]), shape, objects, check_overlap(content["overlap"]))
        masks.masks()  # raises where one is damaged
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(f"Expected what `mis annotate` saves in {path}, but: {error!r}.") from error
    return masks
