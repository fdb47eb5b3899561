"""Licences of weights and data: one table, and a record of what this process has touched.

Whatever loads weights or opens a data set calls :func:`touch`; ``results.json`` and model cards hold
:func:`touched`. Weights that timm knows have timm's word for their licence; the table has what timm does not
know. It says what was known when it was written; the source is what counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

NON_COMMERCIAL = "no commercial use"
UNKNOWN = "unknown"

_META = "https://dl.fbaipublicfiles.com"


class Licence(NamedTuple):
    """Under which terms something may be used.

    Attributes:
        what: The weights, data set or model.
        licence: Its licence, by SPDX or the hub's identifier where there is one.
        terms: What a user must know first; may be empty.
        source: Where it comes from.
    """

    what: str
    licence: str
    terms: str
    source: str

    def __str__(self) -> str:
        """One line for people.

        >>> print(Licence("DINO ViT-S/8", "apache-2.0", "", "github.com/facebookresearch/dino"))
        DINO ViT-S/8: apache-2.0 (github.com/facebookresearch/dino)
        """
        return f"{self.what}: {self.licence}{f', {self.terms}' if self.terms else ''} ({self.source})"


FILES: Mapping[str, Licence] = {
    "vit-s-300ep.pth.tar": Licence(
        "MoCo v3 ViT-S/16", "cc-by-nc-4.0", NON_COMMERCIAL, f"{_META}/moco-v3/vit-s-300ep/vit-s-300ep.pth.tar"
    ),
    "vit-b-300ep.pth.tar": Licence(
        "MoCo v3 ViT-B/16", "cc-by-nc-4.0", NON_COMMERCIAL, f"{_META}/moco-v3/vit-b-300ep/vit-b-300ep.pth.tar"
    ),
    "densecl_r101_imagenet_200ep.pth": Licence(
        "DenseCL ResNet-101",
        "gpl-3.0",
        "the licence of the code; none is stated for the weights",
        "the model zoo of https://github.com/WXinlong/DenseCL",
    ),
    "dino_vitbase16_pretrain.pth": Licence(
        "DINO ViT-B/16", "apache-2.0", "", f"{_META}/dino/dino_vitbase16_pretrain/dino_vitbase16_pretrain.pth"
    ),
    "dinov2_vitb14_pretrain.pth": Licence(
        "DINOv2 ViT-B/14", "apache-2.0", "", f"{_META}/dinov2/dinov2_vitb14/dinov2_vitb14_pretrain.pth"
    ),
    "mae_pretrain_vit_base.pth": Licence(
        "MAE ViT-B/16", "cc-by-nc-4.0", NON_COMMERCIAL, f"{_META}/mae/pretrain/mae_pretrain_vit_base.pth"
    ),
}
"""Weights that no hub of timm brings, by the name of the file."""

TERMS: Mapping[str, str] = {
    "cc-by-nc-4.0": NON_COMMERCIAL,
    "fair-noncommercial-research-license": NON_COMMERCIAL,
    "apple-amlr": NON_COMMERCIAL,
    "dinov3-license": "Meta's terms, to be accepted at the hub",
    "nvidia-open-model-license": "NVIDIA's terms",
}
"""What a user must know of a licence, by timm's name of it."""

_BERKELEY = "www2.eecs.berkeley.edu/Research/Projects/CS/vision"

DATA: Mapping[str, Licence] = {
    licence.what.split(" (")[0]: licence
    for licence in (
        Licence(
            "GrabCut", "none stated", "research use", "github.com/SamsungLabs/fbrs_interactive_segmentation"
        ),
        Licence("Berkeley (BSDS)", "none stated", f"research, {NON_COMMERCIAL}", f"{_BERKELEY}/bsds"),
        Licence(
            "SBD (images of PASCAL VOC)",
            "none stated",
            "research use; images by users of Flickr",
            f"{_BERKELEY}/grouping/semantic_contours",
        ),
        Licence("DAVIS (2016)", "cc-by-nc-4.0", NON_COMMERCIAL, "davischallenge.org"),
        Licence(
            "BraTS (2020)", "none stated", "registration; research use", "www.med.upenn.edu/cbica/brats2020"
        ),
        Licence(
            "OAIZIB (OAI-ZIB)", "none stated", "registration; research use", "pubdata.zib.de, nda.nih.gov/oai"
        ),
        Licence(
            "bundled (scikit-image's photographs)",
            "cc0-1.0",
            "or public domain; outlines apache-2.0",
            "scikit-image.org",
        ),
    )
}
"""Data sets, by the name of their benchmark."""

_touched: dict[str, Licence] = {}


def of_timm_model(name: str) -> Licence:
    """The licence of the weights that timm fetches under this name, by timm's word.

    >>> of_timm_model("vit_base_patch16_224.mae").licence
    'cc-by-nc-4.0'
    """
    import timm

    config: Any = None if name.startswith("hf-hub:") else timm.get_pretrained_cfg(name)
    hub = config.hf_hub_id if config else name.removeprefix("hf-hub:")
    known = (config.license if config else None) or UNKNOWN
    place = f"https://huggingface.co/{hub}" if hub else str(config.url or "timm")
    return Licence(name, known, TERMS.get(known, ""), place)


def of_file(path: str | Path, what: str, model: str = "") -> Licence:
    """The licence of weights in a local file: by its published name, or by the model it is said to be.

    Args:
        path: The file.
        what: What it holds, for a name that is not a published one.
        model: timm's name of the weights, with its tag, that the user gave beside the file.

    >>> of_file("weights/mae_pretrain_vit_base.pth", "").terms
    'no commercial use'
    >>> of_file("mine.pth", "weights", "vit_small_patch8_224.dino").licence
    'apache-2.0'
    """
    path = Path(path)
    if path.name in FILES:
        return FILES[path.name]
    if "." in model:
        said = of_timm_model(model)
        return said._replace(source=f"{path.name}, said to be that of {said.source}")
    return Licence(what, UNKNOWN, "", path.name)


def of_images(name: str) -> Licence:
    """The licence of a folder of images, which only its owner knows."""
    return Licence(f"images in {name}", UNKNOWN, "its owner's terms", name)


def how_to_get(path: str | Path) -> str:
    """Say where a missing file comes from, under which licence, and where it goes; nothing if unknown.

    >>> how_to_get("weights/vit-s-300ep.pth.tar").split(" (")[0]
    'Fetch it from https://dl.fbaipublicfiles.com/moco-v3/vit-s-300ep/vit-s-300ep.pth.tar'
    >>> how_to_get("mine.pth")
    ''
    """
    known = FILES.get(Path(path).name)
    if known is None:
        return ""
    terms = f"{known.licence}{', ' if known.terms else ''}{known.terms}"
    return (
        f"Fetch it from {known.source} ({known.what}; {terms}) on a machine with network access; put it at "
        f"{path}."
    )


def touch(*licences: Licence) -> None:
    """Note that this process has loaded something under these licences."""
    for licence in licences:
        _touched.setdefault(licence.what, licence)


def touched() -> list[dict[str, str]]:
    """Everything noted so far, in order, as JSON values."""
    return [licence._asdict() for licence in _touched.values()]


def recalled(entries: Iterable[Mapping[str, str]]) -> list[Licence]:
    """What :func:`touched` returned elsewhere, read back; entries of another form are left out."""
    fields = Licence._fields
    return [
        Licence(*(str(entry[field]) for field in fields))
        for entry in entries
        if isinstance(entry, Mapping) and set(fields) <= set(entry)
    ]
