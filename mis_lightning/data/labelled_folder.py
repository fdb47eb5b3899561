"""A folder of one's own images and the masks that belong to them -> benchmark objects."""

from __future__ import annotations

import hashlib
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from mis_lightning.console import counted, told
from mis_lightning.data.benchmark import Benchmark
from mis_lightning.data.labelled_images import LabelledImage, LabelledImages
from mis_lightning.errors import InputError
from mis_lightning.formats.image_objects import ImageObjects
from mis_lightning.formats.slice_view import Axis
from mis_lightning.images import ReadImage, Reading
from mis_lightning.structures import Sample


class LabelledFolder(Benchmark):
    """Objects of one's own images.

    Images are files as everywhere, and volumes, NIfTI or TIFF stacks, of which each slice is an image. Those
    without masks are left out, and said once. Objects come in the order of the images, then of their masks,
    and are called ``<image>#<object>``.

    Masks are:

    * a folder: label maps, a file for each object, label volumes, or what ``mis annotate`` saves
      (:mod:`~mis_lightning.data.mask_lookup` has the names);
    * a COCO file, whose crowds are pixels that do not count;
    * of one image its file, of one volume its label volume.

    In a file with the palette of Pascal VOC, 255 marks pixels that do not count.

    Args:
        images: A folder, an image, a volume, or a text file with one path per line.
        masks: As above.
        objects_per_image: At most so many of each image, drawn by ``seed``; ``None``: all.
        limit: At most so many in all, drawn by ``seed``; ``None``: all.
        min_area: Least pixels of an object.
        seed: Of what is drawn.
        reading: How the images become RGB.
        axis: Across which volumes are cut.
        ignore_label: The number of pixels that do not count in label maps and volumes, e.g. 255.
        name: In tables; ``None``: that of the folder.

    Raises:
        DatasetNotFoundError: No image has masks; the message says which names were looked for.
        ImageError: A file cannot be read, is no mask, or image and masks differ in size.
        InputError: A number is out of range, or there is no object of that size.
    """

    comparable = False

    def __init__(
        self,
        images: str | Path,
        masks: str | Path,
        objects_per_image: int | None = 4,
        limit: int | None = None,
        min_area: int = 80,
        seed: int = 0,
        reading: Reading | None = None,
        axis: Axis = "axial",
        ignore_label: int | None = None,
        name: str | None = None,
    ) -> None:
        for what, value, least in (
            ("objects_per_image", objects_per_image, 1),
            ("limit", limit, 1),
            ("min_area", min_area, 1),
            ("seed", seed, 0),
        ):
            if value is not None and value < least:
                raise InputError(f"Expected `{what}` of at least {least}, but got {value}.")
        self.folder, self.masks = Path(images).expanduser(), Path(masks).expanduser()
        self.name = name if name is not None else _name_of(self.folder)  # type: ignore[misc]
        reading = reading if reading is not None else Reading()
        self._settings = {
            "objects_per_image": objects_per_image,
            "limit": limit,
            "min_area": min_area,
            "seed": seed,
            "axis": axis,
            "ignore_label": ignore_label,
            **reading.settings(),
        }
        self._images = LabelledImages(self.folder, self.masks, reading, axis, ignore_label)
        self._last: tuple[LabelledImage, ReadImage, ImageObjects] | None = None
        self._objects = self._draw(objects_per_image, limit, min_area, seed)
        self.digest = self._digest()

    def __len__(self) -> int:
        """Count the objects."""
        return len(self._objects)

    def __getitem__(self, index: int) -> Sample:
        """Read one object.

        Args:
            index: Position in the order above.

        Raises:
            ImageError: A file cannot be read any more.
        """
        image, name = self._objects[index]
        read, objects = self._read(image)
        return Sample(read.rgb, objects.mask(name), objects.ignore, f"{image.key}#{name}")

    def paths(self) -> list[Path]:
        """The file of each object's image, or volume."""
        return [image.path for image, _ in self._objects]

    def provenance(self) -> dict[str, Any]:
        """The paths, how objects were drawn, and a digest of their images and masks."""
        return {
            "images": str(self.folder.absolute()),
            "masks": str(self.masks.absolute()),
            **self._settings,
            "objects": len(self),
            "digest": self.digest,
        }

    def _draw(
        self, per_image: int | None, limit: int | None, min_area: int, seed: int
    ) -> list[tuple[LabelledImage, str]]:
        """Read all masks, and draw objects: of each image by itself, whichever others there are."""
        drawn: list[tuple[LabelledImage, str]] = []
        small = 0
        for image in told(self._images, len(self._images), f"masks of {self.name}", "image"):
            areas = self._images.objects(image).areas
            names = [name for name, area in areas.items() if area >= min_area]
            small += len(areas) - len(names)
            generator = np.random.default_rng(
                [seed, zlib.crc32(image.key.encode("utf-8", "surrogateescape"))]
            )
            drawn += [(image, names[index]) for index in _choice(len(names), per_image, generator)]
        if not drawn:
            why = f"all {small} are smaller" if small else "all masks are empty"
            raise InputError(
                f"Expected objects of at least {counted(min_area, 'pixel')} in the masks at {self.masks}, "
                f"but {why}. `min_area` (--min-area) sets this limit."
            )
        return [drawn[index] for index in _choice(len(drawn), limit, np.random.default_rng(seed))]

    def _digest(self) -> str:
        """Read the images and masks once: what does not fit is said before anything is computed."""
        digest = hashlib.sha256()
        for image, name in told(self._objects, len(self), f"images of {self.name}", "object"):
            read, objects = self._read(image)
            for part in (objects.mask(name), objects.ignore):
                digest.update(b"-" if part is None else np.packbits(part).tobytes())
            digest.update(f"{objects.shape} {read.checksum}\n".encode())
        return digest.hexdigest()[:16]

    def _read(self, image: LabelledImage) -> tuple[ReadImage, ImageObjects]:
        """An image and its masks; the last ones are kept, for its next object."""
        if self._last is None or self._last[0] is not image:
            self._last = (image, *self._images.read(image))
        return self._last[1:]


def _choice(count: int, most: int | None, generator: np.random.Generator) -> list[int]:
    """At most ``most`` of ``count`` indices, ascending."""
    if most is None or count <= most:
        return list(range(count))
    return sorted(int(index) for index in generator.choice(count, most, replace=False))


def _name_of(folder: Path) -> str:
    """What a table calls a folder: its name, or where that says nothing, the name of the one above."""
    place = folder.absolute()
    name = place.parent.name if place.name.lower() in ("images", "image", "img", "imgs") else place.stem
    return re.sub(r"[^\w.-]+", "_", name) or "folder"
