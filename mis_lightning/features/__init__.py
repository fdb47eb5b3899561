"""Image -> patch features.

In: RGB image, uint8 ``(H, W, 3)``.
Out: float32 ``(n, c)``, one row per patch in row-major order, and the grid ``(h, w)`` with ``n = h * w``; the
grid always tiles the whole image.
"""
