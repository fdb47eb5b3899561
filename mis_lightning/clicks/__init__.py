"""Region -> clicks -> maps for the network.

In: a mask bool ``(H, W)`` or a batch of predictions. Out: points float32 ``(2K, 3)`` or ``(B, 2K, 3)``
(:mod:`mis_lightning.structures`) and disk maps float32 ``(B, 2, H, W)``.
"""
