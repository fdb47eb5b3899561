from __future__ import annotations

import os

import numpy as np
import pytest

from mis_lightning.errors import InputError
from mis_lightning.metrics.training_log import join_logs, read_training_log

LOG = """epoch,lr-AdamW,step,train/loss,val/bundled/noc_85
0,0.001,9,,
0,,9,0.5,
0,,19,0.25,
0,,19,,12.5
"""


def test_columns_with_their_steps(tmp_path):
    (tmp_path / "metrics.csv").write_text(LOG, encoding="utf-8")
    log = read_training_log(tmp_path / "metrics.csv")
    assert {name: values.tolist() for name, values in log.items()} == {
        "lr-AdamW": [[9, 0.001]],
        "train/loss": [[9, 0.5], [19, 0.25]],
        "val/bundled/noc_85": [[19, 12.5]],
    }


def test_a_folder_means_its_youngest_version(tmp_path):
    for number, loss in enumerate((3.0, 2.0, 1.0)):
        file = tmp_path / f"version_{number}" / "metrics.csv"
        file.parent.mkdir()
        file.write_text(f"step,train/loss\n0,{loss}\n", encoding="utf-8")
        os.utime(file, (1000 - number, 1000 - number))
    assert read_training_log(tmp_path)["train/loss"].tolist() == [[0, 3.0]]


def test_stages_follow_each_other():
    first = {"a": np.array([[0.0, 5.0], [9.0, 4.0]]), "b": np.array([[4.0, 1.0]])}
    second = {"a": np.array([[0.0, 3.0]]), "c": np.array([[7.0, 2.0]])}
    joined = join_logs([first, second, second])
    assert joined["a"].tolist() == [[0, 5], [9, 4], [10, 3], [18, 3]]
    assert joined["b"].tolist() == [[4, 1]]
    assert joined["c"].tolist() == [[17, 2], [25, 2]]


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "step,x\nten,1\n", "step,x\n1,much\n"])
def test_what_is_no_log(tmp_path, text):
    (tmp_path / "metrics.csv").write_text(text, encoding="utf-8")
    if text:
        with pytest.raises(InputError, match=r"metrics\.csv"):
            read_training_log(tmp_path / "metrics.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="version"):
        read_training_log(tmp_path / "empty")
