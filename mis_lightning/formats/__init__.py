"""Masks on disk. Input: bool (H, W) masks or label maps. Output: files other programs read, and back."""
