"""All annotations in one file to download."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from mis_lightning.annotation.export import Format, export_masks
from mis_lightning.annotation.store import AnnotationStore
from mis_lightning.console import counted
from mis_lightning.errors import InputError


def pack(store: AnnotationStore, form: Format, volumes: Mapping[str, Path]) -> tuple[str, bytes]:
    """Write annotations as ``mis export-masks`` does, and put them into one file.

    Args:
        store: The annotations.
        form: The format.
        volumes: Where the volumes are whose slices are annotated, by name.

    Returns:
        The name of the file and its bytes: the COCO file itself, or a ZIP file.

    Raises:
        InputError: There is none, or one of them cannot be read or written.
    """
    with TemporaryDirectory(prefix="mis_export_") as place:
        written = export_masks(store, Path(place), form, volumes=volumes.__getitem__ if volumes else None)
        if written.failures:
            reasons = "; ".join(f"{key}: {reason}" for key, reason in written.failures.items())
            raise InputError(
                f"{counted(len(written.failures), 'annotation')} could not be exported: {reasons}"
            )
        if form == "coco":
            return "coco.json", written.files[0].read_bytes()
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for path in sorted(path for path in Path(place).rglob("*") if path.is_file()):
                archive.write(path, path.relative_to(place).as_posix())
        return f"masks_{form}.zip", buffer.getvalue()
