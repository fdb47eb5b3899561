"""Figures for papers and reports: images, merge trees, clicks and IoU curves -> matplotlib figures, PNG, PDF.

Every function returns a :class:`matplotlib.figure.Figure` and leaves pyplot alone, so nothing needs a
display; :func:`mis_lightning.figures.save.save` writes one to disk.
"""
