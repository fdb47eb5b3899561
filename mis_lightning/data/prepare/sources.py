"""Sources of the benchmarks: archives with a public address, and manual steps."""

from __future__ import annotations

from typing import NamedTuple


class Archive(NamedTuple):
    """A file to download.

    Attributes:
        urls: Its addresses, tried in this order.
        digest: ``"md5:..."`` or ``"sha256:..."`` as publicly known; ``None`` where none is published. Then
            the digest of the first download is recorded, and later downloads must match it.
        size: For the eye, before a long download.
        folders: Only members below these folders of the archive are unpacked; empty: all.
    """

    urls: tuple[str, ...]
    digest: str | None
    size: str
    folders: tuple[str, ...] = ()


# The archives that the README of RITM and of its successors link, under the old and the new name of their
# owner. Their digests are not published.
_FBRS = tuple(
    f"https://github.com/{owner}/fbrs_interactive_segmentation/releases/download/v1.0"
    for owner in ("saic-vul", "SamsungLabs")
)
# Address and MD5 as in torchvision.datasets.SBDataset; the second address is that of older code.
_SBD = tuple(
    f"{host}/Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz"
    for host in ("https://www2.eecs.berkeley.edu", "http://www.eecs.berkeley.edu")
)


def _fbrs(name: str) -> tuple[str, ...]:
    return tuple(f"{place}/{name}.zip" for place in _FBRS)


ARCHIVES: dict[str, Archive] = {
    "GrabCut": Archive(_fbrs("GrabCut"), None, "11 MB"),
    "Berkeley": Archive(_fbrs("Berkeley"), None, "7 MB"),
    "DAVIS": Archive(_fbrs("DAVIS"), None, "43 MB"),
    "SBD": Archive(_SBD, "md5:82b4d87ceb2ed10f6038a1cba92111cb", "1.4 GB", ("benchmark_RELEASE/dataset",)),
}
"""Archives by benchmark. BraTS and OAI-ZIB are given out only to registered persons."""

_SIMPLECLICK = "https://drive.google.com/drive/folders/1B6y1nNBnWU09EhxvjaTdp1XGjc1T6wUk"


def _ritm(name: str, images: str, masks: str, count: int, note: str = "") -> str:
    return f"""\
The owner of the RITM code has deleted it, and the archives that it links may be gone as well.
1. Get {name}.zip from the links of a successor (README of github.com/uncbiag/SegNext), or from someone who
   evaluated RITM, SimpleClick or MIS before.{note}
2. Unpack it so that {{root}}/{name} holds {images}/ ({count} images) and {masks}/ ({count} masks).
3. Run this command again: it verifies the counts."""


STEPS: dict[str, str] = {
    "GrabCut": _ritm("GrabCut", "data_GT", "boundary_GT", 50),
    "Berkeley": _ritm("Berkeley", "images", "masks", 100),
    "DAVIS": _ritm(
        "DAVIS",
        "img",
        "gt",
        345,
        "\n   (The full videos of davischallenge.org are not this selection of frames.)",
    ),
    "SBD": f"""\
1. Download {_SBD[0]} (1.4 GB) by any means,
   or the copy at https://drive.google.com/file/d/1EQSKo5n2obj7tW8RytYTJ-eEYbXqtUXE
   (MD5 82b4d87ceb2ed10f6038a1cba92111cb).
2. Unpack its folder dataset/ so that {{root}}/SBD holds img/, inst/, train.txt and val.txt.
3. Run this command again: it verifies the counts.""",
    "BraTS": f"""\
To compare with published numbers, take the slices of the authors of SimpleClick:
1. Download the BraTS dataset (369 cases) from {_SIMPLECLICK}
2. Unpack it so that {{root}}/BraTS20 holds image/ (369 slices) and annotation/ (369 masks).
3. Run this command again: it verifies the counts.
How those slices were chosen is not published. To cut your own, which are marked as not comparable:
1. Register at https://www.med.upenn.edu/cbica/brats2020/data.html and download the training data.
2. pip install "mis-lightning[medical]"
3. mis prepare BraTS --root {{root}} --volumes FOLDER_OF_THE_369_CASES""",
    "OAIZIB": f"""\
Ready slices, by the authors of SimpleClick:
1. Download the OAI-ZIB dataset (150 cases) from {_SIMPLECLICK}
2. Unpack it so that {{root}}/OAI-ZIB holds test/image/ (150 slices) and test/annotations/ (150 masks).
3. Run this command again: it verifies the counts.
Or from the original volumes, by the published rule:
1. Register at https://nda.nih.gov/oai and download the baseline MR images (folders 0.C.2 and 0.E.1).
2. Download the OAI-ZIB segmentations from https://pubdata.zib.de
3. pip install "mis-lightning[medical]"
4. mis prepare OAIZIB --root {{root}} --volumes FOLDER_OF_OAI_ZIB --mri FOLDER_WITH_0.C.2_AND_0.E.1""",
}
"""What a person has to do, with ``{root}`` to fill in."""
