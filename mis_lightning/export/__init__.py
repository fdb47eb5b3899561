"""Export of click models. In: a model. Out: a file that runs without this package, or a model card."""
