"""A click model for other programs. In: a model. Out: a file that runs without this package, or a page."""
