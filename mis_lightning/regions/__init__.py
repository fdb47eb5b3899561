"""Image -> the regions it offers for training -> one region drawn.

In: an image and, where a source wants them, its patch features. Out: a merge tree or a set of masks
(:mod:`.source` says what a region source is), kept in a :mod:`.store`, and bool masks drawn from it.
"""
