"""Logits -> scalar to minimise.

In: logits and mask ``(B, 1, H, W)``, image ``(B, 3, H, W)`` in ``[0, 1]``. Out: a scalar and its terms.
"""
