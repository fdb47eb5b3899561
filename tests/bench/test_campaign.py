"""The command: lines, table and picture of a folder, and of several."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from mis_lightning.bench import campaign
from mis_lightning.errors import InputError
from mis_lightning.learning.campaign import WorkedObject


def worked(clicks: int) -> WorkedObject:
    return WorkedObject("x", clicks, (0.5,) * clicks, True, ((1.0, 1.0, True),) * clicks, "", 1.0, 0.5, False)


def test_a_folder_is_worked_through_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    labels = np.zeros((48, 48), np.uint8)
    labels[8:40, 8:40] = 1
    cv2.imwrite(str(tmp_path / "images" / "a.png"), labels * 200)
    cv2.imwrite(str(tmp_path / "masks" / "a.png"), labels)
    where = ["--images", str(tmp_path / "images"), "--masks", str(tmp_path / "masks")]
    assert campaign.main([*where, "--ways", "frozen", "looks", "--out", str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "campaign.pdf",
        "campaign.png",
        "frozen.jsonl",
        "looks.jsonl",
        "table.md",
    ]
    table = (tmp_path / "out" / "table.md").read_text(encoding="utf-8")
    assert "| looks | 1 |" in table
    assert table.strip() in capsys.readouterr().out
    assert campaign.main(["--draw", str(tmp_path / "out"), "--out", str(tmp_path / "all")]) == 0
    assert "**out**" in (tmp_path / "all" / "table.md").read_text(encoding="utf-8")


def test_the_table_says_what_is_saved() -> None:
    text = campaign.table({"frozen": [worked(4)] * 4, "learning": [worked(4)] * 2 + [worked(2)] * 2})
    assert "| learning | 4 | 12 | 4 | 25% [0%, 50%] | 50% [50%, 50%] |" in text


@pytest.mark.parametrize("given", [[], ["--images", "a"], ["--benchmark", "GrabCut"]])
def test_half_a_folder_is_refused(given: list[str]) -> None:
    with pytest.raises(InputError, match="Expected"):
        campaign.main(given)


def test_a_folder_without_a_campaign_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no lines"):
        campaign.main(["--draw", str(tmp_path), "--out", str(tmp_path / "all")])
