"""Training a click model on a GPU in minutes: see train.py."""
