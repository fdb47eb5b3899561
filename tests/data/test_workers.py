"""Workers start after OpenCV has used its threads: they must not wait for threads that stayed behind."""

import subprocess
import sys

SCRIPT = """
import sys
import cv2
import numpy as np
from mis_lightning.data.precompute import precompute
from mis_lightning.data.training_images import find_training_images
from mis_lightning.regions.merge_tree import MergeTreeRegions
from mis_lightning.regions.store import RegionStore

cv2.setNumThreads(4)
cv2.GaussianBlur(np.zeros((2000, 2000, 3), np.uint8), (0, 0), 5)  # starts OpenCV's threads
images = find_training_images(sys.argv[1])
failures = precompute(images, MergeTreeRegions(), RegionStore(sys.argv[2], {}), num_workers=2, progress=False)
assert not failures, failures
"""


def test_opencv_threads_of_the_parent_do_not_block_workers(tmp_path):
    import numpy as np
    from PIL import Image

    (tmp_path / "images").mkdir()
    for name in "abc":
        Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "images" / f"{name}.png")
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "images"), str(tmp_path / "trees")]
    subprocess.run(command, check=True, timeout=120)
    assert len(list((tmp_path / "trees").glob("*.safetensors"))) == 3
