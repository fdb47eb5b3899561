"""Everything annotated, in one file to download."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

import numpy as np
from PIL import Image

from mis_lightning.annotation.record import AnnotationRecord
from mis_lightning.formats.label_png import label_png
from mis_lightning.server.messages import ExportFormat


def pack(records: Mapping[str, AnnotationRecord], format: ExportFormat) -> tuple[str, bytes]:
    """Put annotations into one file.

    Args:
        records: By name of the image.
        format: ``"coco"``: one JSON file; ``"labels"``: a ZIP file with an indexed PNG for each image;
            ``"masks"``: one with a black and white PNG for each object.

    Returns:
        Its name and its bytes.
    """
    if format == "coco":
        raise NotImplementedError
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:  # PNG is compressed already
        for name, record in records.items():
            if format == "labels":
                archive.writestr(f"{name}.png", label_png(record.labels))
                continue
            for number, mask in record.masks.items():
                picture = io.BytesIO()
                Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).save(picture, format="PNG")
                archive.writestr(f"{name}.{number}.png", picture.getvalue())
    return f"{format}.zip", buffer.getvalue()
