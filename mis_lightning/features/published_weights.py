"""Weights that no hub brings: where their authors published them."""

from __future__ import annotations

from pathlib import Path

_MOCO = "https://dl.fbaipublicfiles.com/moco-v3"

TIMEOUT = 10.0
"""Seconds that the hub has for its first answer."""

SOURCES = {
    "vit-s-300ep.pth.tar": f"{_MOCO}/vit-s-300ep/vit-s-300ep.pth.tar (MoCo v3, ViT-S/16)",
    "vit-b-300ep.pth.tar": f"{_MOCO}/vit-b-300ep/vit-b-300ep.pth.tar (MoCo v3, ViT-B/16)",
    "densecl_r101_imagenet_200ep.pth": "the model zoo of https://github.com/WXinlong/DenseCL (ResNet-101)",
    "mae_pretrain_vit_base.pth": "https://dl.fbaipublicfiles.com/mae/pretrain/mae_pretrain_vit_base.pth",
}
"""By the name of the file."""


def how_to_get(path: str | Path) -> str:
    """Say where a missing file comes from and where it goes; nothing if its name is not a published one.

    >>> how_to_get("weights/vit-s-300ep.pth.tar").split(" (")[0]
    'Fetch it from https://dl.fbaipublicfiles.com/moco-v3/vit-s-300ep/vit-s-300ep.pth.tar'
    >>> how_to_get("mine.pth")
    ''
    """
    path = Path(path)
    source = SOURCES.get(path.name)
    return f"Fetch it from {source} on a machine with network, and put it at {path}." if source else ""


def hub_problem(repository: str, revision: str | None = None) -> Exception | None:
    """Ask the hub for a model once, without the retries of its client; why it gave none, ``None`` if it did.

    Whoever has no network should not wait to be told so.

    Args:
        repository: ``owner/name``.
        revision: A branch, tag or commit.
    """
    from huggingface_hub import HfApi

    try:
        HfApi().model_info(repository, revision=revision, timeout=TIMEOUT)
    except Exception as error:  # no network, the hub is down, no such model, or HF_HUB_OFFLINE is set
        return error
    return None
