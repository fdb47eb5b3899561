"""Metrics. Input: masks bool (H, W) and IoU curves float32 (k,). Output: NoC, failures, IoU@k, tables."""
