"""Annotation of several objects per image. Input: image and actions. Output: masks and a log."""
