"""Patch features -> merge tree -> region masks.

In: float32 ``(n, c)`` features of an ``(h, w)`` grid of patches, ``n = h * w``. Out: a binary tree of
``2n - 1`` nested regions (:mod:`.tree`, built by :mod:`.ward`), and bool masks of nodes drawn from it
(:mod:`.sampling`).
"""
