"""Timings of parts against their peers, with goals. In a clone only: the wheel leaves them out."""
