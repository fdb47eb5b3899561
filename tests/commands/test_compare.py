import json

import pytest

from mis_lightning.cli import main
from mis_lightning.commands import compare
from mis_lightning.data.bundled import BundledBenchmark
from mis_lightning.models.pretrained import save_pretrained
from mis_lightning.structures import Sample


def test_a_row_for_each(tmp_path, capsys, monkeypatch, tiny_click_vit):
    whole = BundledBenchmark()
    cat = next(whole[index] for index in range(31) if whole[index].name == "chelsea.png#cat")

    class Short(BundledBenchmark):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return Sample(cat.image[::4, ::4].copy(), cat.mask[::4, ::4].copy(), None, cat.name)

    monkeypatch.setattr(compare, "BundledBenchmark", Short)
    folder = save_pretrained(tiny_click_vit(), tmp_path / "tiny")
    what = ["cv2.grabCut", "merge-tree", f"ours={folder}"]
    assert main(["compare", *what, "--folder", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed if " 1 " in line] == ["cv2.grabCut", "merge-tree", "ours"]
    records = {
        name: json.loads((tmp_path / "out" / name / "results.json").read_text(encoding="utf-8"))
        for name in ("cv2.grabCut", "merge-tree", "ours")
    }
    cut = records["cv2.grabCut"]
    assert cut["settings"]["segmenter"] == "cv2.grabCut"
    assert cut["benchmarks"]["bundled"]["values"]["iou@10"] > 0.5
    assert cut["settings"]["evaluation"]["iterations"] == 3
    assert cut["settings"]["evaluation"]["max_clicks"] == 20
    assert records["merge-tree"]["settings"]["evaluation"]["stride"] == 2
    assert records["ours"]["settings"]["model"]["architecture"] == "ClickViT"
    assert records["ours"]["settings"]["evaluation"]["flip"] is True


@pytest.mark.parametrize(
    ("what", "message"),
    [(["cv2.grabCut", "cv2.grabCut"], "distinct names"), (["nowhere.ckpt"], "nothing at nowhere.ckpt")],
)
def test_what_cannot_be_compared(what, message, capsys):
    assert main(["compare", *what]) == 2
    assert message in capsys.readouterr().err


def test_a_benchmark_with_files_needs_its_folder(capsys):
    assert main(["compare", "merge-tree", "--benchmark", "GrabCut"]) == 2
    assert "mis prepare GrabCut" in capsys.readouterr().err
