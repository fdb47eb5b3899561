"""Datasets and benchmarks.

Training: a folder of images and a store of merge trees -> image uint8 ``(3, H, W)``, region bool
``(1, H, W)``, points float32 ``(2K, 3)``.
Evaluation: a benchmark -> :class:`~mis_lightning.structures.Sample`.
"""
