"""Export of annotations to the formats of other programs."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from mis_lightning.annotation.record import AnnotationRecord
from mis_lightning.annotation.store import AnnotationStore
from mis_lightning.errors import InputError
from mis_lightning.files import written_whole
from mis_lightning.formats.binary_png import write_binary_png
from mis_lightning.formats.coco import write_coco
from mis_lightning.formats.label_png import marks_void, write_label_png
from mis_lightning.formats.slice_view import Axis
from mis_lightning.formats.volume_files import SUFFIXES, SliceKey, open_slices, split_key
from mis_lightning.formats.volume_slices import LabelVolume
from mis_lightning.images import Reading

_OBJECT = re.compile(r"\.\d+$")  # behind the name of an image that has several
_IN_THE_WAY = "{} already exists and is not a mask: choose another folder to write to (--out)."

Format = Literal["png", "labels", "coco", "volumes"]
"""A grey PNG for each object, a label map for each image, one COCO file, a label volume for each volume."""


@dataclass
class Exported:
    """What was written.

    Attributes:
        files: The files.
        failures: Why an image is missing, by its key.
    """

    files: list[Path] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)


def export_masks(
    store: AnnotationStore,
    out: Path,
    form: Format,
    keys: Sequence[str] | None = None,
    volumes: Callable[[str], Path] | None = None,
) -> Exported:
    """Write annotations for other programs. Overlaps are resolved by the policy of each record.

    * ``"png"``: ``<image>.png``, 0 and 255; of several objects ``<image>.<id>.png``;
    * ``"labels"``: ``<image>.png``, the ids of the objects, with their names in ``labels.json``; where there
      are classes, also ``<image>.classes.png``, the numbers of the classes, with their names in
      ``classes.json``;
    * ``"coco"``: ``coco.json``; the classes are its categories, without them the names of the objects;
    * ``"volumes"``: ``<volume>.nii.gz`` on the grid of the volume; of a TIFF stack ``<volume>.tif`` with a
      page of 16 bits for each slice. The label of an object is its id, the same through all slices, and the
      names are in ``labels.json``. Where one id has several names, because the slices were annotated as
      images of their own, objects of one name have one label. Keys that are no slices of a volume are left
      out.

    ``<image>`` is its path inside the folder, without the suffix unless two images differ only there. Masks
    that an earlier export wrote for the same images are replaced, or removed where there are none now; an
    image or a volume that lies where a mask would go is a failure.

    Args:
        store: The annotations.
        out: Folder; made if it is missing.
        form: The format.
        keys: Which; ``None``: all.
        volumes: Finds the file of a volume by its path inside the folder of images; needed for ``"volumes"``.

    Returns:
        The files, and what failed.

    Raises:
        InputError: There is no such format, or no annotation.
    """
    if form not in get_args(Format):
        raise InputError(f"Expected a format of {', '.join(get_args(Format))}, but got {form!r}.")
    keys = store.keys() if keys is None else keys
    if not keys:
        raise InputError(f"Expected annotations in {store.folder}, but found none.")
    result = Exported()
    if form == "coco":
        images = (record.named(key) for key, record in _records(store, keys, result))
        write_coco(out / "coco.json", images, store.classes())
        result.files.append(out / "coco.json")
    elif form == "volumes":
        _write_volumes(store, out, keys, volumes, result)
    else:
        _write_pictures(store, out, form, keys, result)
    return result


def _records(
    store: AnnotationStore, keys: Iterable[str], result: Exported
) -> Iterator[tuple[str, AnnotationRecord]]:
    """The records one after the other; those that cannot be read are noted."""
    for key in tqdm(keys, desc="export", leave=False, disable=None):
        try:
            yield key, store.read(key)
        except InputError as error:
            result.failures[key] = str(error)


def _write_pictures(
    store: AnnotationStore, out: Path, form: Format, keys: Sequence[str], result: Exported
) -> None:
    stems, names = _stems(keys), {}
    known = {*stems.values(), *_stems(store.keys()).values()}
    earlier = _masks_of_before(out, stems.values(), known) if form == "png" else {}
    classes = list(store.classes())
    for key, record in _records(store, keys, result):
        if form == "labels":
            targets = {out / f"{stems[key]}.png": 0}
        else:
            ids = list(record.counts)
            one = len(ids) == 1
            targets = {out / (f"{stems[key]}.png" if one else f"{stems[key]}.{k}.png"): k for k in ids}
        taken = next((path for path in targets if path in result.files), None)
        if taken is not None:
            result.failures[key] = f"Another image has its mask in {taken}: rename one of the two."
            continue
        image = next((path for path in targets if path.exists() and not _may_replace(path, out)), None)
        if image is not None:
            result.failures[key] = _IN_THE_WAY.format(image)
            continue
        for path, number in targets.items():
            if form == "labels":
                write_label_png(path, record.labels)
                names[path.relative_to(out).as_posix()] = {one.id: one.name for one in record.log.objects}
                classes += sorted({one.category for one in record.log.objects if one.category} - {*classes})
                if classes:
                    kinds = path.with_name(f"{path.name.removesuffix('.png')}.classes.png")
                    write_label_png(kinds, _by_class(record, classes))
                    result.files.append(kinds)
            else:
                write_binary_png(path, record.mask(number))
            result.files.append(path)
        for path in earlier.get(stems[key], ()):
            if path not in targets and _may_replace(path, out):
                path.unlink()
    if form == "labels":
        _write_names(out / "labels.json", names)
        if classes:
            _write_names(out / "classes.json", dict(enumerate(classes, 1)))


def _write_volumes(
    store: AnnotationStore,
    out: Path,
    keys: Sequence[str],
    volumes: Callable[[str], Path] | None,
    result: Exported,
) -> None:
    slices: dict[str, list[tuple[str, SliceKey]]] = defaultdict(list)
    for key in keys:
        found = split_key(key)
        if found is not None:
            slices[found.volume].append((key, found))
    if not slices or volumes is None:
        raise InputError(
            "Expected annotated slices of volumes, and the folder of the volumes, for label volumes."
        )
    stems, names = _stems(list(slices)), {}
    for volume, entries in slices.items():
        records = dict(_records(store, [key for key, _ in entries], result))
        labels = _volume_labels(records.values())
        try:
            path, any_channel = volumes(volume), Reading(channels=(0,))  # all are on one grid
            axes = {one.axis: open_slices(path, cast(Axis, one.axis), any_channel) for _, one in entries}
            like = next(iter(axes.values()))
            target = like.empty_labels()
            for key, one in entries:
                if key in records:
                    picture = LabelVolume(axes[one.axis], target.voxels)
                    picture[one.number] = _painted(records[key], labels, picture[one.number])
            written = out / f"{stems[volume]}{like.LABELS}"
            if written.exists() and written.samefile(path):
                raise InputError(_IN_THE_WAY.format(written))
            target.save(written)
        except InputError as error:
            result.failures[volume] = str(error)
            continue
        names[written.relative_to(out).as_posix()] = {label: name for (_, name), label in labels.items()}
        result.files.append(written)
    _write_names(out / "labels.json", names)


def _volume_labels(records: Iterable[AnnotationRecord]) -> dict[tuple[int, str], int]:
    """The label of each object of a volume, by id and name: the id, unless one id has several names."""
    objects = {(one.id, one.name): one.id for record in records for one in record.log.objects}
    if len(set(objects.values())) == len(objects):
        return dict(sorted(objects.items()))
    names = list(dict.fromkeys(name for _, name in objects))
    return {(id, name): names.index(name) + 1 for id, name in objects}


def _painted(
    record: AnnotationRecord, labels: Mapping[tuple[int, str], int], before: NDArray[np.uint16]
) -> NDArray[np.uint16]:
    """A slice with its objects painted over what is there."""
    if record.log.shape != before.shape:
        raise InputError(
            f"Expected a slice of {before.shape} pixels, but the annotation is of {record.log.shape}."
        )
    painted = before.copy()
    for one in record.log.objects:
        painted[record.labels == one.id] = labels[one.id, one.name]
    return painted


def _stems(keys: Sequence[str]) -> dict[str, str]:
    """File names for keys: without the suffix, unless two would collide."""
    stems = {}
    for key in keys:
        of_volume = split_key(key)
        whole, part = (of_volume.volume, key.rpartition("#")[2]) if of_volume else (key, "")
        folder, slash, name = whole.rpartition("/")
        ending = next((end for end in SUFFIXES[::-1] if name.lower().endswith(end)), Path(name).suffix)
        stems[key] = folder + slash + name[: len(name) - len(ending)] + (f"_{part}" if part else "")
    count = Counter(stems.values())
    return {key: stem if count[stem] == 1 else key for key, stem in stems.items()}


def _may_replace(path: Path, out: Path) -> bool:
    """Whether a picture is a mask or a label map of an earlier export, and not an image of the user's.

    A mask is grey with 0 and 255 alone; a label map has the palette of labels, or 16 bits and its names in
    ``labels.json``.
    """
    try:
        with Image.open(path) as image:
            if image.mode == "L":
                return {*np.flatnonzero(image.histogram())} <= {0, 255}
            if image.mode == "P":
                return marks_void(path)
        known = json.loads((out / "labels.json").read_text(encoding="utf-8"))
        return path.relative_to(out).as_posix() in known
    except (OSError, ValueError):
        return False


def _masks_of_before(out: Path, stems: Iterable[str], known: Set[str]) -> dict[str, list[Path]]:
    """The files that may be masks of an earlier export, by the stem of their image.

    Args:
        out: The folder.
        stems: Of the images whose folders are looked at.
        known: Of all images: a file of that name is a mask of that image, not an object of another one.
    """
    found = defaultdict(list)
    for folder in {(out / stem).parent for stem in stems}:
        for path in folder.glob("*.png"):
            name = path.relative_to(out).as_posix().removesuffix(".png")
            found[name if name in known else _OBJECT.sub("", name)].append(path)
    return found


def _by_class(record: AnnotationRecord, classes: Sequence[str]) -> NDArray[np.uint16]:
    """The numbers of the classes, uint16, ``(H, W)``; 0 where there is no object, or one without a class."""
    numbers = np.zeros(record.log.next_id, np.uint16)
    for one in record.log.objects:
        if one.category is not None:
            numbers[one.id] = 1 + classes.index(one.category)
    return numbers[record.labels]


def _write_names(path: Path, names: Mapping[str, Mapping[int, str]] | Mapping[int, str]) -> None:
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(names, ensure_ascii=False, indent=1), encoding="utf-8")
