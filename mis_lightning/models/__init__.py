"""Image, clicks and previous mask -> logits.

In: image ``(B, 3, H, W)`` in [0, 1], previous mask ``(B, 1, H, W)``, points ``(B, 2K, 3)``.
Out: logits ``(B, 1, H, W)``.
Two networks: :class:`~mis_lightning.models.click_vit.ClickViT` (the paper's, up to ViT-H/448) and
:class:`~mis_lightning.models.click_hybrid.HybridClickViT` (the small preset's); the sizes are in the configs.
"""
