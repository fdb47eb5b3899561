"""``mis import-checkpoint``: convert a published SimpleClick or MIS .pth to a model folder."""

from __future__ import annotations

from collections.abc import Sequence

from mis_lightning.commands import options
from mis_lightning.models.official_checkpoint import import_official
from mis_lightning.models.pretrained import save_pretrained

_VITB = "mis_vitb448_sbd"
CONFIGS = {
    768: (_VITB,),
    1024: (_VITB, "networks/simpleclick_vitl448"),
    1280: (_VITB, "networks/simpleclick_vith448"),
}
"""Of ``mis test``, by the width of the network."""


def main(args: Sequence[str]) -> int:
    """Run ``mis import-checkpoint FILE OUT``."""
    given = options.import_checkpoint().parse_args(args)
    model = import_official(given.file)
    written = save_pretrained(model, given.out)
    count = sum(value.numel() for value in model.state_dict().values())
    print(
        f"{written}: ViT, {model.config['depth']} blocks of {model.config['dim']}, {count / 1e6:.1f} M "
        "weights"
    )
    print(f"predict: ClickPredictor.from_pretrained({str(given.out)!r})")
    configs = " ".join(f"--config {name}" for name in CONFIGS.get(int(model.config["dim"]), ()))
    print(f"evaluate: mis test {configs or '--config …'} --model.initial_weights {given.out}")
    return 0
