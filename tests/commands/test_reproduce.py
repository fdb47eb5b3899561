"""`mis reproduce`: a row's command stands for it; what is missing is named; runs go on where they were."""

from __future__ import annotations

import importlib.util
import json
import shlex
from pathlib import Path

import pytest
import torch

from mis_lightning.cli import main
from mis_lightning.commands import paper_needs, reproduce
from mis_lightning.commands.paper_needs import Machine, look
from mis_lightning.commands.paper_runs import commands, runs_of
from mis_lightning.commands.region_speed import WAYS
from mis_lightning.metrics.paper_tables import belongs, paper_tables

_spec = importlib.util.spec_from_file_location("miniature", Path(__file__).with_name("miniature.py"))
miniature = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(miniature)

TABLES = paper_tables()
RUNS = runs_of((table, row) for table in TABLES for row in table.rows)


def test_every_row_with_a_training_has_a_run() -> None:
    served = [name for run in RUNS for name in run.rows]
    assert sorted(served) == sorted(f"{t.name}/{r.name}" for t in TABLES for r in t.rows if r.fit)
    assert next(run.rows for run in RUNS if run.name == "main/mis") == (
        "main/mis", "I/grid", "II/dino_s8", "III/mis",
    )  # fmt: skip
    shown = {benchmark for table in TABLES for benchmark, _ in table.columns}
    assert {name for table in TABLES if table.name == "IV" for name, _ in table.columns} < set(WAYS)
    tested = {name for run in RUNS for overlay in run.overlays for name in reproduce_overlays(overlay)}
    assert tested == shown - {"merging", "TokenCut", "DSM", "MIS"}


def reproduce_overlays(overlay: str) -> tuple[str, ...]:
    return paper_needs.OVERLAYS[overlay]


@pytest.mark.parametrize("run", RUNS, ids=[run.name for run in RUNS])
def test_commands_parse_to_all_their_rows(run, parse) -> None:
    rows = {f"{table.name}/{row.name}": row for table in TABLES for row in table.rows}
    args = [*run.row.fit, "--data.images=configs", "--model.initial_weights=mae.pth"]
    overlays = [Path(f"evaluation/{name}") for name in run.overlays]
    fit, *tests = commands(args, Path("runs") / run.name, overlays, ())
    config = parse(fit[4:])
    for name in run.rows:
        assert belongs(config, rows[name].where), name
    assert config["model"]["initial_weights"] == "mae.pth"
    checkpoints = [c for c in config["trainer"]["callbacks"] if c["class_path"].endswith("ModelCheckpoint")]
    assert checkpoints[0]["init_args"]["dirpath"] == f"runs/{run.name}/checkpoints"
    assert checkpoints[0]["init_args"]["save_last"] is True
    if run.name not in ("main/mis", "II/dino_s16"):  # parsing takes a second
        return
    found = []
    for test, overlay in zip(tests, run.overlays, strict=True):
        assert test[-1] == f"--ckpt_path=runs/{run.name}/checkpoints/last.ckpt"
        config = parse(test[4:-1])
        assert all(belongs(config, rows[name].where) for name in run.rows)
        logger = config["trainer"]["logger"]["init_args"]
        assert (logger["save_dir"], logger["name"]) == (f"runs/{run.name}", f"evaluation/{overlay}")
        found += [entry["class_path"].rpartition(".")[2] for entry in config["data"]["test_benchmarks"]]
        (noc,) = [c for c in config["trainer"]["callbacks"] if c["class_path"].endswith("NoCEvaluation")]
        assert noc["init_args"]["settings"]["target_iou"] is None
        settings = noc["init_args"]["prediction"]
        assert settings["threshold"] == 0.5
        assert settings.get("size") == ([672, 672] if overlay == "davis" else None)  # None: the network's own
    assert found == [name for overlay in run.overlays for name in paper_needs.OVERLAYS[overlay]]


def test_an_empty_machine_is_told_everything_it_lacks(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(paper_needs, "_in_cache", lambda _address: False)
    assert main(["reproduce", "--data", str(tmp_path), "--device", "cpu"]) == 1
    out = capsys.readouterr().out
    for what in (
        "SBD's training images (for all)",
        "benchmark GrabCut (for all)",
        "benchmark BraTS (for main/tokencut, main/freemask, main/dsm, main/mis, main/supervised)",
        "initial weights mae_pretrain_vit_base.pth (for all)",
        "extractor vit_small_patch14_dinov2.lvd142m (for II/dinov2_s14)",
        "extractor densecl_r101_imagenet_200ep.pth (for main/freemask)",
        "extractor vit-s-300ep.pth.tar (for II/moco_s16)",
    ):
        assert f"* {what}" in out
    assert "cc-by-nc-4.0, no commercial use" in out  # MAE's and MoCo's licences
    assert "mis prepare GrabCut" in out
    assert "https://huggingface.co/timm/vit_base_patch8_224.dino" in out
    assert "Nothing was run" in out
    assert not (tmp_path / "runs").exists()


def test_disk_and_gpu_are_looked_at(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(paper_needs, "_in_cache", lambda _address: True)
    monkeypatch.setattr(paper_needs.shutil, "disk_usage", lambda _place: type("Usage", (), {"free": 20e9}))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    machine = Machine(tmp_path, tmp_path, tmp_path, tmp_path / "new" / "runs", False, "cuda")
    needs = look(RUNS, machine)
    assert "a GPU" in needs.missing
    assert any(what.startswith("disk: 36 GB for 12 runs, 20 GB are free") for what in needs.missing)
    assert not any(what.startswith("extractor vit_") for what in needs.missing)
    (option,) = [o for o in needs.options["II/dino_b8"] if ".device=" in o]
    assert option == "--data.regions.init_args.extractor.init_args.device=cuda"
    assert not [o for o in needs.options["main/supervised"] if ".device=" in o]


@pytest.fixture
def mini(tmp_path, monkeypatch):
    """A miniature with which the supervised rows run, in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("MIS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(paper_needs, "_in_cache", lambda _address: False)
    miniature.make_sbd(tmp_path / "data" / "SBD", 32)
    miniature.make_benchmarks(tmp_path / "data")
    miniature.make_encoder(tmp_path / "weights")
    called = []

    def call(command, _environment) -> bool:
        called.append(command)
        return main(list(command[3:])) == 0

    monkeypatch.setattr(reproduce, "_call", call)
    return called


@pytest.mark.slow
def test_a_row_from_nothing_to_its_table(mini, capsys) -> None:
    words = ["reproduce", "III", "--quick", "--device", "cpu", "--allow-incomplete", "--skip-missing"]
    assert main([*words, "--minute", "2", "--", *miniature.OPTIONS]) == 1  # the other row lacks its extractor
    out = capsys.readouterr().out
    assert [command[3] for command in mini] == ["fit", "fit", "test"]  # the first measures
    assert "steps a second: about" in out
    assert "Not run: III/mis, for lack of extractor vit_small_patch8_224.dino." in out
    table = out.split("### Table III")[1].split("###")[0]
    (line,) = [line for line in table.splitlines() if line.startswith("| SimpleClick")]
    ours = [cell.strip() for cell in line.strip("|").split("|")][1::2]
    assert all(ours)
    assert all(cell.endswith("\\*†") for cell in ours)  # not the published sets, nor the recipe
    results = json.loads(Path("runs/paper/III/supervised/evaluation/medical/results.json").read_text("utf-8"))
    whats = {entry["what"] for entry in results["licences"]}
    assert {"MAE ViT-B/16", "BraTS (2020)", "OAIZIB (OAI-ZIB)"} <= whats
    # Started again, nothing is left to do; and a test that is missing is done alone.
    mini.clear()
    assert main([*words, "--minute", "0", "--", *miniature.OPTIONS]) == 1
    assert mini == []
    Path("runs/paper/III/supervised/evaluation/medical/results.json").unlink()
    assert main([*words, "--minute", "0", "--dry-run", "--", *miniature.OPTIONS]) == 0
    lines = [
        shlex.split(line) for line in capsys.readouterr().out.splitlines() if " -m mis_lightning " in line
    ]
    fit = next(line for line in lines if line[3] == "fit" and any("III/supervised" in word for word in line))
    assert fit[-1] == "--ckpt_path=runs/paper/III/supervised/checkpoints/last.ckpt"  # training goes on there


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["VI"], "Expected tables among main, I, II, III, IV, V"),
        (["--rows", "II/dino_g14"], "no row 'II/dino_g14'; rows: main/tokencut"),
        (["--gpus", "5"], "divide the batch of 32"),
        (["--minute", "-1"], "--minute of at least 0"),
    ],
)
def test_mistakes(words, message, capsys) -> None:
    assert main(["reproduce", *words]) == 2
    assert message in capsys.readouterr().err
