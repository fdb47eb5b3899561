"""Simulated users on benchmarks. Input: a segmenter and samples. Output: clicks and IoUs of each object."""
