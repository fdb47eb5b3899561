"""Images and the masks that belong to them: which pairs there are, and their pixels."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mis_lightning.console import counted
from mis_lightning.data.mask_lookup import MAPS, MaskLookup, MaskPlace, comparable
from mis_lightning.data.training_images import image_key
from mis_lightning.errors import DatasetNotFoundError, ImageError, InputError, Note
from mis_lightning.formats.coco import read_coco
from mis_lightning.formats.image_objects import (
    EncodedObjects,
    ImageObjects,
    LabelledObjects,
    read_label_file,
    read_mask_files,
)
from mis_lightning.formats.named_masks import NamedMask, NamedMasks
from mis_lightning.formats.rle import encode_rle
from mis_lightning.formats.saved_masks import read_saved_masks
from mis_lightning.formats.slice_view import Axis
from mis_lightning.formats.volume_files import SUFFIXES, is_volume, open_slices, slices_of
from mis_lightning.formats.volume_slices import LabelVolume, VolumeSlices
from mis_lightning.images import IMAGE_SUFFIXES, ReadImage, Reading, common_folder, list_images


@dataclass(frozen=True)
class LabelledImage:
    """One image, or one slice of a volume, and where its masks are.

    Attributes:
        key: Path of the image inside its folder, with ``/``; of a slice with ``#axial-12`` behind it.
        path: Its file.
        masks: Its masks, or the files that hold them.
        slice: Which slice of a volume it is.
    """

    key: str
    path: Path
    masks: MaskPlace | NamedMasks
    slice: int | None = None


class LabelledImages:
    """The images of a folder that have masks, in the order of their names.

    Args:
        images: A folder, an image, a volume, or a text file with one path per line.
        masks: A folder of masks (:mod:`~mis_lightning.data.mask_lookup`), or one with a ``coco.json``; a COCO
            file; or the masks of the one image.
        reading: How the images become RGB.
        axis: Across which volumes are cut.
        ignored: The number of pixels that do not count in label maps and volumes.

    Raises:
        DatasetNotFoundError: No image has masks; the message says which names were looked for.
        InputError: A COCO file or a volume cannot be read.
    """

    def __init__(
        self, images: Path, masks: Path, reading: Reading, axis: Axis = "axial", ignored: int | None = None
    ) -> None:
        self.folder, self.masks = images, masks
        self._reading, self._ignored = reading, ignored
        self._axis: Axis = axis
        self._volume: tuple[LabelledImage, VolumeSlices, LabelVolume | None] | None = None
        files = list_images(images, (*IMAGE_SUFFIXES, *SUFFIXES))
        base = images if images.is_dir() else common_folder(files)
        if masks.is_dir() and not masks.samefile(images):
            files = [path for path in files if masks.resolve() not in path.resolve().parents] or files
        self._found = self._pairs({image_key(path, base): path for path in files})

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[LabelledImage]:
        return iter(self._found)

    def without_images(self) -> set[Path]:
        """Where the masks are, links resolved: their folder, or where images lie in it, their files."""
        masks = self.masks.resolve()
        if masks.is_dir() and not any(masks in image.path.resolve().parents for image in self._found):
            return {masks}
        return {path.resolve() for image in self._found for path in _files(image.masks)}

    def objects(self, image: LabelledImage) -> ImageObjects:
        """Read the masks of an image.

        Raises:
            InputError: A file cannot be read, or is no mask.
        """
        if isinstance(image.masks, NamedMasks):
            return EncodedObjects(image.masks)
        if image.masks.whole is None:
            return read_mask_files(image.masks.parts)
        if image.masks.whole.suffix == ".json":
            return EncodedObjects(read_saved_masks(image.masks.whole))
        labels = None if image.slice is None else self._open(image)[1]
        if image.slice is None or labels is None:  # an image, or a slice that was annotated by itself
            return read_label_file(image.masks.whole, self._ignored)
        return LabelledObjects(labels[image.slice], self._ignored)

    def named(self, image: LabelledImage) -> NamedMasks:
        """Read the masks of an image with the names and classes that they have; crowds among them.

        Raises:
            InputError: A file cannot be read, or is no mask.
        """
        if isinstance(image.masks, NamedMasks):
            return image.masks
        if image.masks.whole is not None and image.masks.whole.suffix == ".json":
            return read_saved_masks(image.masks.whole)
        found = self.objects(image)
        objects = (
            NamedMask(
                f"object {name}", encode_rle(found.mask(name)), id=int(name) if name.isdecimal() else None
            )
            for name in found.areas
        )
        return NamedMasks(image.key, found.shape, tuple(objects))

    def read(self, image: LabelledImage) -> tuple[ReadImage, ImageObjects]:
        """Read an image and its masks.

        Raises:
            InputError: A file cannot be read, or they differ in size.
        """
        objects = self.objects(image)
        if image.slice is None:
            read = self._reading.read(image.path)
        else:
            read = self._open(image)[0].read(image.slice, self._reading)
        (height, width), (rows, cols) = read.rgb.shape[:2], objects.shape
        if (height, width) != (rows, cols):
            raise ImageError(
                f"The masks of {image.key} in {_where(image.masks) or self.masks} have {rows} rows and "
                f"{cols} columns, but the image {image.path} has {height} rows and {width} columns. Replace "
                "one of the two files."
            )
        return read, objects

    def _open(self, image: LabelledImage) -> tuple[VolumeSlices, LabelVolume | None]:
        """The volume of a slice, and its labels; the last one is kept."""
        if self._volume is None or (self._volume[0].path, self._volume[0].masks) != (image.path, image.masks):
            slices = open_slices(image.path, self._axis, self._reading)
            whole = image.masks.whole if isinstance(image.masks, MaskPlace) else None
            labels = slices.read_labels(whole) if whole is not None and is_volume(whole) else None
            self._volume = image, slices, labels
        return self._volume[1:]

    def _pairs(self, files: dict[str, Path]) -> list[LabelledImage]:
        masks = self.masks
        coco = masks / "coco.json" if masks.is_dir() else masks
        if coco.suffix.lower() == ".json" and coco.is_file():
            found, remark = self._of_coco(coco, files)
        elif masks.is_file() and masks.name.lower().endswith((*MAPS, *SUFFIXES)):
            if len(files) > 1:
                raise InputError(
                    f"Expected a folder of masks or a COCO file for the {len(files)} images in "
                    f"{self.folder}, but {masks} is the mask of one."
                )
            ((key, path),) = files.items()
            found, remark = self._with(key, path, MaskPlace(masks)), ""
        else:
            lookup = MaskLookup(masks)
            found = [one for key, path in files.items() for one in self._of_folder(lookup, key, path)]
            found = _no_masks(found)
            remark = lookup.examples(next(iter(files)))
        if not found:
            raise DatasetNotFoundError(f"No image in {self.folder} has masks. {remark}")
        known = {image.path for image in found} | {path for image in found for path in _files(image.masks)}
        without = [path for path in files.values() if path not in known]
        if without:
            warnings.warn(
                f"Left out {len(without)} of {counted(len(files), 'image')} in {self.folder} for lack of "
                f"masks in {masks}, the first is {without[0].name}.",
                Note,
                stacklevel=4,
            )
        return found

    def _of_folder(self, lookup: MaskLookup, key: str, path: Path) -> list[LabelledImage]:
        place = lookup.find(key, path)
        if not is_volume(path):
            return [] if place is None else [LabelledImage(key, path, place)]
        if place is not None and place.whole is not None and place.whole.suffix != ".json":
            return self._with(key, path, place)
        slices = ((name, number, lookup.find(name, path)) for name, number in self._slices(key, path))
        return [LabelledImage(name, path, one, number) for name, number, one in slices if one is not None]

    def _of_coco(self, coco: Path, files: dict[str, Path]) -> tuple[list[LabelledImage], str]:
        content = {comparable(one.image.replace("\\", "/")): one for one in read_coco(coco)}
        last: dict[str, NamedMasks | None] = {}
        for name, one in content.items():  # of two files of one name neither is meant
            short = name.rpartition("/")[2]
            last[short] = None if short in last else one
        found = []
        for key, path in files.items():
            for name, number in self._slices(key, path):
                wanted = comparable(name)
                masks = content.get(wanted) or last.get(wanted.rpartition("/")[2])
                if masks is not None and masks.objects:
                    found.append(LabelledImage(name, path, masks, number))
        names = ", ".join(list(content)[:3]) or "none"
        return found, f"{coco} has masks of {counted(len(content), 'image')}, such as {names}."

    def _with(self, key: str, path: Path, masks: MaskPlace) -> list[LabelledImage]:
        """An image, or all slices of a volume, whose masks are in one file."""
        if is_volume(path) and (masks.whole is None or not is_volume(masks.whole)):
            raise ImageError(
                f"Expected a label volume for {path}, of its format and with as many slices, but got "
                f"{masks.whole}."
            )
        return [LabelledImage(name, path, masks, number) for name, number in self._slices(key, path)]

    def _slices(self, key: str, path: Path) -> list[tuple[str, int | None]]:
        return slices_of(key, path, self._axis, self._reading)


def _no_masks(found: Sequence[LabelledImage]) -> list[LabelledImage]:
    """Without the images that are masks of others, where both share a folder.

    ``a_1.png`` is of ``a_1.jpg``, not an object of ``a.jpg``, where there are both.
    """
    masks = {path for image in found for path in _files(image.masks)}
    whole = {path for image in found if _is_whole(image.masks) for path in _files(image.masks)}
    images = [image for image in found if image.path not in masks]
    images = [image for image in images if not _files(image.masks) & whole or _is_whole(image.masks)]
    if found and not images:
        one, other = found[0].path, next(iter(_files(found[0].masks)))
        raise DatasetNotFoundError(
            f"{one} and {other} could each be the masks of the other. Keep masks in a folder of their own."
        )
    return images


def _files(masks: MaskPlace | NamedMasks) -> set[Path]:
    if isinstance(masks, NamedMasks):
        return set()
    return {masks.whole} if masks.whole is not None else set(masks.parts.values())


def _is_whole(masks: MaskPlace | NamedMasks) -> bool:
    return isinstance(masks, MaskPlace) and masks.whole is not None


def _where(masks: MaskPlace | NamedMasks) -> str:
    return ", ".join(str(path) for path in sorted(_files(masks))[:1])
