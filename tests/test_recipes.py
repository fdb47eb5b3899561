"""The paper's recipe and its supervised twin take real optimisation steps: at full size, and in two "
"processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from mis_lightning.cli import main

ROOT = Path(__file__).parents[1]
RECIPES = {
    "mis_vitb448_sbd": ["--data.regions.init_args.extractor.init_args.pretrained=false"],
    "simpleclick_vitb448_sbd": [],
}
SMALL = [
    "--model.model.init_args.input_size=[224,224]",
    "--data.augment.init_args.size=[224,224]",
    "--model.model.init_args.dim=24",
    "--model.model.init_args.heads=3",
    "--model.model.init_args.depth=2",
    "--model.model.init_args.global_every=2",
    "--model.model.init_args.neck_dims=[4,6,8,12]",
    "--model.model.init_args.head_dim=8",
]


@pytest.fixture
def sbd(tmp_path):
    """Four images of SBD's layout with two objects each."""
    root = tmp_path / "SBD"
    (root / "img").mkdir(parents=True)
    (root / "inst").mkdir()
    names = [f"2008_00000{number}" for number in range(4)]
    for number, name in enumerate(names):
        pixels = np.random.default_rng(number).integers(0, 120, (64, 80, 3), np.uint8)
        labels = np.zeros((64, 80), np.uint8)
        labels[6:40, 5:45], labels[30:60, 50:76] = 1, 2
        pixels[labels > 0] += 100
        Image.fromarray(pixels).save(root / "img" / f"{name}.jpg")
        savemat(root / "inst" / f"{name}.mat", {"GTinst": {"Segmentation": labels}})
    (root / "train.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    return root


def options(recipe, root, folder, *more):
    own = [option.format(root=root) for option in RECIPES[recipe]]
    return [
        f"--config={ROOT}/configs/{recipe}.yaml",
        f"--data.images={root}",
        f"--data.store={folder}/store",
        "--data.num_workers=0",
        "--trainer.accelerator=cpu",
        "--trainer.max_steps=2",
        "--trainer.logger=false",
        f"--trainer.default_root_dir={folder}",
        "--trainer.enable_progress_bar=false",
        *own,
        *more,
    ]


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_two_steps_at_full_size(sbd, tmp_path, monkeypatch, recipe):
    monkeypatch.chdir(tmp_path)
    words = options(recipe, sbd, tmp_path / "run", "--trainer.devices=1", "--data.batch_size=2")
    callbacks = "--trainer.callbacks=[{class_path: lightning.pytorch.callbacks.ModelCheckpoint, init_args: "
    callbacks += f"{{dirpath: {tmp_path}/run/checkpoints, save_last: true}}}}]"
    assert main(["fit", *words, callbacks]) == 0
    content = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True, mmap=True)
    assert content["global_step"] == 2
    state = content["state_dict"]
    assert sum(value.numel() for value in state.values()) == 97_067_969
    assert all(torch.isfinite(value).all() for value in state.values())
    moments = content["optimizer_states"][0]["state"]
    assert len(moments) == len(state)  # every weight has got a gradient
    assert all(moment["exp_avg"].abs().sum() > 0 for moment in moments.values())


SCRIPT = """
    import json, sys
    import lightning as L, torch
    from mis_lightning.commands.lightning import run

    class Compare(L.Callback):
        def __init__(self, place):
            self.place = place
        def on_train_start(self, trainer, module):
            self.before = torch.cat([p.detach().flatten().clone() for p in module.parameters()])
        def on_train_end(self, trainer, module):
            weights = torch.cat([p.detach().flatten() for p in module.parameters()])
            ranks = trainer.strategy.all_gather(weights)
            if trainer.is_global_zero:
                said = {
                    "ranks": len(ranks),
                    "equal": bool((ranks[0] == ranks[-1]).all()),
                    "finite": bool(torch.isfinite(weights).all()),
                    "moved": float((weights != self.before).float().mean()),
                    "steps": trainer.global_step,
                }
                with open(self.place, "w") as file:
                    json.dump(said, file)

    if __name__ == "__main__":
        for place, words in json.loads(sys.argv[1]).items():  # both recipes: to start takes most of the time
            cli = run(words, run=False)
            cli.trainer.callbacks.append(Compare(place))
            cli.trainer.fit(cli.model, cli.datamodule)
"""


@pytest.mark.parametrize("decay", ["null", pytest.param("0.75", marks=pytest.mark.slow)])
def test_two_processes_keep_the_same_weights(sbd, tmp_path, decay):
    script = tmp_path / "fit.py"
    script.write_text(textwrap.dedent(SCRIPT), encoding="utf-8")
    runs = {}
    for recipe in RECIPES:
        words = [*SMALL, "--trainer.devices=2", "--trainer.strategy=ddp", "--data.batch_size=1"]
        words += [
            "--trainer.callbacks=[]",
            "--trainer.enable_checkpointing=false",
            f"--model.layer_decay={decay}",
        ]
        if recipe == "mis_vitb448_sbd":
            extractor = "mis_lightning.features.colour_texture.ColourTexture"
            words.append(f"--data.regions.init_args.extractor={extractor}")
        own = options(recipe, sbd, tmp_path / recipe, *words)
        runs[str(tmp_path / f"{recipe}.json")] = [word for word in own if "pretrained" not in word]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script), json.dumps(runs)]
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    for place in runs:
        said = json.loads(Path(place).read_text(encoding="utf-8"))
        assert said == {"ranks": 2, "equal": True, "finite": True, "moved": said["moved"], "steps": 2}
        assert said["moved"] > 0.9
