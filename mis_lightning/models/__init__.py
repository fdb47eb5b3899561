"""Image, clicks and previous mask -> logits.

In: image ``(B, 3, H, W)`` in [0, 1], previous mask ``(B, 1, H, W)``, points ``(B, 2K, 3)``.
Out: logits ``(B, 1, H, W)``.
One class, :class:`~mis_lightning.models.click_vit.ClickViT`, from ViT-H/448 down to the CPU preset; the sizes
live in the configs.
"""
