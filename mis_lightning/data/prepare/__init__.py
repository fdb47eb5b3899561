"""Archives and medical volumes -> the published benchmark folders of :mod:`mis_lightning.data.benchmarks`.

Used by ``mis prepare`` alone; nothing here runs during training or evaluation.
"""
