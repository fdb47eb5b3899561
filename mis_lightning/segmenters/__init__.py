"""Segmenters. Input: an RGB image uint8 (H, W, 3) and clicks. Output: probability float32 (H, W)."""
