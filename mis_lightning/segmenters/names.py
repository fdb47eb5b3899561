"""What a command line says about the names of segmenters; imported before PyTorch is."""

from __future__ import annotations

CHAIN = "attention-chain"
"""With ``:MODEL`` behind it, a timm ViT, and ``@FILE``, its weights."""
PUBLISHED = ":published"
"""Behind the name of a model: asked by the published protocol, not as the model recommends."""
NAMES_HELP = (
    f"merge-tree, cv2.grabCut, cv2.grabCut-plain; {CHAIN}[:MODEL[@FILE]], the attention of a timm ViT; the "
    "name of a shipped model, owner/name on the hub, a model folder, a .safetensors, .ckpt or .onnx file, "
    f"each with {PUBLISHED} behind it for the published settings; or the dotted name of a Segmenter class of "
    "your own"
)
"""What :func:`~mis_lightning.segmenters.registry.open_segmenter` opens."""
