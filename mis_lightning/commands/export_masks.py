"""``mis export-masks``: export of annotations to the formats of other programs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from mis_lightning.annotation.export import Format, export_masks
from mis_lightning.annotation.store import AnnotationStore
from mis_lightning.console import counted
from mis_lightning.errors import InputError


def main(args: Sequence[str]) -> int:
    """Run ``mis export-masks FOLDER --format FORMAT [--out DIR] [--images DIR]``.

    Raises:
        InputError: There is nothing to write, or some annotations are damaged; the others are written.
    """
    parser = argparse.ArgumentParser(
        prog="mis export-masks", description="Export annotations to the formats of other programs."
    )
    parser.add_argument(
        "folder", type=Path, help="annotations saved by `mis annotate`, `mis predict` or an AnnotationSession"
    )
    parser.add_argument(
        "--format",
        required=True,
        choices=get_args(Format),
        help="png: one mask per object; labels: one label map per image; coco: one JSON file; "
        "volumes: one label volume per volume, as NIfTI or TIFF like the volume",
    )
    parser.add_argument("--out", type=Path, help="folder to write to; default: FOLDER_FORMAT")
    parser.add_argument("--images", type=Path, help="folder of the volumes, for --format volumes")
    given = parser.parse_args(list(args))
    folder = given.folder.absolute()
    if not folder.is_dir():
        raise InputError(f"Expected a folder of annotations, but there is none at {given.folder}.")
    out = given.out if given.out is not None else folder.with_name(f"{folder.name}_{given.format}")
    predicted = (folder / "report.json").is_file() and (folder / "annotations").is_dir()  # by `mis predict`
    store = AnnotationStore(folder / "annotations" if predicted else folder)
    if given.format == "volumes" and given.images is None:
        raise InputError("Expected the folder of the volumes for label volumes: name it with `--images`.")
    if given.images is not None and not given.images.is_dir():
        raise InputError(
            f"Expected the folder of the volumes in `--images`, but there is none at {given.images}."
        )
    volumes = None if given.images is None else given.images.joinpath
    written = export_masks(store, out, given.format, volumes=volumes)
    print(f"{counted(len(written.files), 'file')} in {out}")
    if written.failures:
        reasons = "\n".join(f"  {key}: {reason}" for key, reason in written.failures.items())
        raise InputError(f"{counted(len(written.failures), 'annotation')} could not be written:\n{reasons}")
    return 0
