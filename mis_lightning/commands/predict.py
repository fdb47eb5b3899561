"""``mis predict``: segment images from a file of clicks.

There are two ways to call it. ``mis predict --clicks FILE`` needs no config; with ``--config`` it is the verb
of the Lightning CLI, whose options ``mis predict --config FILE --help`` lists.
"""

from __future__ import annotations

from collections.abc import Sequence

from mis_lightning.annotation.clicks_file import ClickRequests
from mis_lightning.annotation.mask_folder import MaskFolder
from mis_lightning.commands import options
from mis_lightning.console import told
from mis_lightning.segmenters.registry import open_segmenter


def main(args: Sequence[str]) -> int:
    """Run ``mis predict --clicks FILE [--model MODEL] [--images DIR] [--out DIR] …``, or the Lightning verb.

    Raises:
        InputError: The options or the clicks do not fit, or some images failed; the others are done.
    """
    if any(arg.startswith(("--config", "--data", "--ckpt_path", "--trainer")) for arg in args):
        from mis_lightning.commands import lightning  # seconds that the other way does without

        return lightning.main(args)
    given = options.predict().parse_args(list(args[1:]))
    reading = options.reading(given)
    requests = ClickRequests(given.clicks, given.images, reading, given.axis, given.overlap)
    requests.check_images()
    segmenter = open_segmenter(given.model, device=given.device, threshold=given.threshold)
    masks = MaskFolder(given.out, given.format)
    for index in told(range(len(requests)), len(requests), f"answers by {segmenter.identity}", "image"):
        masks.look_up(requests[index], segmenter)
        masks.keep(requests[index].answer(segmenter))
    masks.finish()
    return 0
