"""COCO JSON: the objects of many images in one file, masks run-length encoded, overlaps kept.

https://cocodataset.org/#format-data. The classes of objects are the categories, and their names are kept
beside them; where no object has a class, their names are the categories.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mis_lightning.console import counted
from mis_lightning.errors import InputError, Note
from mis_lightning.files import written_whole
from mis_lightning.formats.named_masks import NamedMask, NamedMasks
from mis_lightning.formats.rle import area_and_box, counts_to_text, decode_rle

DESCRIPTION = "Annotated with mis_lightning"
"""Of the files written here."""
UNCLASSIFIED = "unclassified"
"""Category of an object without a class, where others have one."""


def write_coco(path: Path, images: Iterable[NamedMasks], classes: Sequence[str] = ()) -> int:
    """Write the objects of images (:func:`coco_content`), whole or not at all; returns how many."""
    content = coco_content(images, classes)
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")
    return len(content["annotations"])


def coco_content(images: Iterable[NamedMasks], classes: Sequence[str] = ()) -> dict[str, Any]:
    """The objects of images as the JSON values of a COCO file.

    Objects without a pixel are left out, for COCO has no box for them; their images stay.

    Args:
        images: Taken one by one; only their encoded masks are held.
        classes: The categories that come first, in their order; those that are not used stay.
    """
    entries: list[dict[str, Any]] = []
    found: list[tuple[int, NamedMasks, NamedMask]] = []
    for number, image in enumerate(images, 1):
        height, width = image.shape
        entries.append({"id": number, "file_name": image.image, "height": height, "width": width})
        found += [(number, image, one) for one in image.objects]
    classified = bool(classes) or any(one.category is not None for *_, one in found)
    names = sorted({_category(one, classified) for *_, one in found} - set(classes))
    category = {name: number for number, name in enumerate([*classes, *names], 1)}
    annotations: list[dict[str, Any]] = []
    for number, image, one in found:
        area, box = area_and_box(one.counts, image.shape)
        if area:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": category[_category(one, classified)],
                    **({"name": one.name} if classified else {}),
                    "segmentation": {"size": list(image.shape), "counts": one.counts},
                    "area": area,
                    "bbox": list(box),
                    "iscrowd": int(one.crowd),
                    **({} if one.score is None else {"score": one.score}),
                }
            )
    return {
        "info": {"description": DESCRIPTION},
        "images": entries,
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for name, number in category.items()],
    }


def _category(one: NamedMask, classified: bool) -> str:
    if not classified:
        return one.name
    return one.category if one.category is not None else UNCLASSIFIED


def read_coco(path: str | Path) -> list[NamedMasks]:
    """Read the objects of images, in the order of the file.

    Masks are run-length encoded, compressed or not, or polygons, which pycocotools fills as COCO defines it.

    Raises:
        InputError: The file cannot be read, is not COCO, or holds polygons where pycocotools is missing; the
            message says where.
    """
    try:
        content = json.loads(Path(path).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"Expected a COCO file at {path}, but: {error}.") from error
    try:
        names = {entry["id"]: str(entry["name"]) for entry in content["categories"]}
        info, entries = content.get("info"), content["annotations"]
        ours = isinstance(info, dict) and info.get("description") == DESCRIPTION
        classified = not ours or any("name" in entry for entry in entries)
        classes = _classes(names) if classified else ()
        objects: dict[Any, list[NamedMask]] = {entry["id"]: [] for entry in content["images"]}
        shapes = {entry["id"]: (int(entry["height"]), int(entry["width"])) for entry in content["images"]}
        without = []
        for entry in entries:
            try:
                counts = _counts(entry.get("segmentation"), shapes[entry["image_id"]])
                category = names[entry["category_id"]]
            except KeyError as error:
                raise InputError(f"Annotation {entry.get('id')}: there is no {error} in the file.") from None
            except InputError as error:
                where = f"Annotation {entry.get('id')} on image {entry['image_id']}"
                raise InputError(f"{where}: {error}") from None
            if counts is None:
                without.append(entry.get("id"))
                continue
            name = str(entry.get("name", category))
            crowd, kind = bool(entry.get("iscrowd", 0)), category if classified else None
            one = NamedMask(name, counts, crowd, None if kind == UNCLASSIFIED else kind)
            objects[entry["image_id"]].append(one)
        if without:
            warnings.warn(
                f"{counted(len(without), 'annotation')} without a mask left out of {path}, the first has id "
                f"{without[0]}.",
                Note,
                stacklevel=2,
            )
        return [
            NamedMasks(str(entry["file_name"]), shapes[entry["id"]], tuple(objects[entry["id"]]), classes)
            for entry in content["images"]
        ]
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"Expected a COCO file at {path}, but its parts do not fit: {error!r}.") from error


def _classes(names: Mapping[Any, str]) -> tuple[str, ...]:
    """The names of categories in the order of their ids; of ids that are no numbers in that of the file."""
    ids = sorted(names) if all(type(id) is int for id in names) else names
    return tuple(dict.fromkeys(names[id] for id in ids if names[id] != UNCLASSIFIED))


def _counts(segmentation: Any, shape: tuple[int, int]) -> str | None:
    """The compressed runs, checked against the size of the image; ``None``: there is no mask, but a box."""
    if segmentation is None:
        return None
    if isinstance(segmentation, list):
        return _filled(segmentation, shape)
    if tuple(segmentation["size"]) != shape:
        raise InputError(f"Expected a mask of size {shape}, but got {segmentation['size']}.")
    counts = segmentation["counts"]
    if isinstance(counts, list):
        if not all(isinstance(count, int) for count in counts):
            raise InputError("Expected whole numbers in uncompressed runs of a mask.")
        counts = counts_to_text(np.array(counts, dtype=np.int64))
    if not isinstance(counts, str):
        raise InputError(f"Expected the runs of a mask as text or a list, but got {counts!r}.")
    decode_rle(counts, shape)
    return counts


def _filled(polygons: list[Any], shape: tuple[int, int]) -> str | None:
    """The compressed runs of polygons, each ``[x, y, x, y, …]`` in pixels; those of two points have none."""
    try:
        from pycocotools import mask as coco_mask
    except ImportError:
        raise InputError('Filling polygons needs pycocotools: pip install "mis-lightning[coco]"') from None
    height, width = shape
    whole = []
    for polygon in polygons:
        points = np.asarray(polygon, dtype=np.float64)
        limits = (2 * width, 2 * height)  # a little outside is usual; far outside is another image
        if points.ndim != 1 or points.size % 2:
            raise InputError(f"Expected polygons of points x, y, but got {polygon!r:.80}.")
        if not (np.abs(points.reshape(-1, 2)) <= limits).all():
            raise InputError(f"Expected polygons inside {width}x{height} pixels, but got {polygon!r:.80}.")
        whole += [polygon] if points.size >= 6 else []
    if not whole:
        return None
    return str(coco_mask.merge(coco_mask.frPyObjects(whole, height, width))["counts"], "ascii")
