"""Several objects on one image. Input: an image and actions. Output: masks, and the log that makes them."""
