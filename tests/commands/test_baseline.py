import json

from mis_lightning.cli import main
from mis_lightning.commands import baseline
from mis_lightning.data.bundled import BundledBenchmark
from mis_lightning.structures import Sample


def test_grabcut_gets_a_row(tmp_path, capsys, monkeypatch):
    whole = BundledBenchmark()
    cat = next(whole[index] for index in range(31) if whole[index].name == "chelsea.png#cat")

    class Short(BundledBenchmark):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return Sample(cat.image[::4, ::4].copy(), cat.mask[::4, ::4].copy(), None, cat.name)

    monkeypatch.setattr(baseline, "BundledBenchmark", Short)
    assert main(["baseline", "--folder", str(tmp_path)]) == 0
    assert "NoC@85" in capsys.readouterr().out
    record = json.loads((tmp_path / "results.json").read_text())
    assert record["settings"]["predictor"] == "cv2.grabCut"
    assert record["benchmarks"]["bundled"]["values"]["iou@10"] > 0.5
    assert record["settings"]["iterations"] == 3
    assert set(record["settings"]["evaluation"]) == {"max_clicks", "target_iou", "threshold"}
    tree = ["baseline", "--predictor", "merge-tree", "--folder", str(tmp_path / "tree")]
    assert main(tree) == 0
    record = json.loads((tmp_path / "tree" / "results.json").read_text())
    assert (record["settings"]["predictor"], record["settings"]["stride"]) == ("merge-tree", 2)


def test_a_benchmark_with_files_needs_its_folder(capsys):
    assert main(["baseline", "--benchmark", "GrabCut"]) == 2
    assert "mis prepare GrabCut" in capsys.readouterr().err
