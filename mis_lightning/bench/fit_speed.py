"""A training run as ``mis fit`` makes it, timed, beside the network's share and the parts of the rest."""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import TQDMProgressBar
from torch import Tensor
from torch.utils.data import default_collate

from mis_lightning.bench.figure import Figure
from mis_lightning.clicks import corrective, corrective_on_gpu
from mis_lightning.losses.interactive import ClickLoss
from mis_lightning.models.click_vit import ClickViT
from mis_lightning.models.colour_jitter import ColourJitter
from mis_lightning.structures import Prompt
from mis_lightning.training.datamodule import MISDataModule
from mis_lightning.training.module import InteractiveSegmentation

OUTSIDE_GOAL = 0.05  # of a step
EXPECTED_ROUNDS = 1.5  # simulated clicks of a step: uniform from 0 to 3


@dataclass
class StepClock(L.Callback):
    """Wall time from the end of step ``warm`` to the end of the last.

    Attributes:
        warm: Steps that do not count.
        seconds: Wall time of the others; the device is waited for at both ends only.
        steps: How many they are.
        peak: Most memory that the device's allocator held in them, in GiB; 0 on the CPU.
    """

    warm: int
    seconds: float = 0.0
    steps: int = 0
    peak: float = 0.0
    began: float = field(default=0.0, repr=False)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Start after the warm-up, and look at the clock after the last step."""
        done = trainer.global_step
        if done == self.warm:
            wait(pl_module.device)
            if pl_module.device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(pl_module.device)
            self.began = time.perf_counter()
        elif done == trainer.max_steps:
            wait(pl_module.device)
            self.seconds, self.steps = time.perf_counter() - self.began, done - self.warm
            if pl_module.device.type == "cuda":
                self.peak = torch.cuda.max_memory_allocated(pl_module.device) / 2**30


def simulated_clicks(module: InteractiveSegmentation, steps: range) -> float:
    """Mean number of clicks that the module will simulate in these steps of the first epoch."""
    rounds = []
    for step in steps:
        with module._seeded(step) as generator:  # the first draw of a step
            rounds.append(int(torch.randint(module.max_simulated_clicks + 1, (), generator=generator)))
    return sum(rounds) / len(rounds)


def wait(device: torch.device) -> None:
    """Wait until a GPU is done; nothing on the CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(call: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Mean wall time of a call, of ``repeats`` in a row after two others, without a wait in between."""
    for _ in range(2):
        call()
    wait(device)
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    wait(device)
    return (time.perf_counter() - start) / repeats


def set_tf32(allowed: bool) -> None:
    """Let float32 products and convolutions round their factors to 10 bits on a GPU, or not."""
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.backends.cudnn.allow_tf32 = allowed


def paper_module(network: dict[str, Any], channels_last: bool = True) -> InteractiveSegmentation:
    """The training module of ``configs/mis_vitb448_sbd.yaml`` around a network of these arguments."""
    torch.manual_seed(0)
    return InteractiveSegmentation(
        ClickViT(**network),
        ClickLoss(),
        partial(torch.optim.Adam, lr=5e-5),
        partial(torch.optim.lr_scheduler.MultiStepLR, milestones=[50, 55]),
        colour_jitter=ColourJitter(),
        channels_last=channels_last,
    )


def first_batch(data: MISDataModule, count: int) -> dict[str, Tensor]:
    """The first samples of the training set as a batch, on the CPU."""
    if data.training_set is None:
        data.setup("fit")
    assert data.training_set is not None  # setup sets it
    batch: dict[str, Tensor] = default_collate([data.training_set[0, index] for index in range(count)])
    return batch


def fit(
    data: MISDataModule,
    module: InteractiveSegmentation,
    device: torch.device,
    precision: str,
    warm: int,
    steps: int,
    repeats: int,
) -> list[Figure]:
    """Train for ``warm + steps`` steps, then time the network alone on the same sizes.

    Args:
        data: Set up for ``fit``.
        module: What is trained.
        device: Where.
        precision: As of Lightning's trainer.
        warm: Steps before the clock starts.
        steps: Steps that count.
        repeats: Timed calls of the network alone.

    Returns:
        Images a second, memory, and the share of a step that is not the network's.
    """
    clock = StepClock(warm)
    simulated = simulated_clicks(module, range(warm, warm + steps))
    trainer = L.Trainer(
        accelerator=device.type,
        devices=1,
        precision=precision,  # type: ignore[arg-type]
        max_steps=warm + steps,
        callbacks=[clock, TQDMProgressBar(refresh_rate=20)],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(num_workers|tensorboard|log).*")
        trainer.fit(module, data)
    module.to(device)  # where the trainer's end may have taken it from
    batch = {name: value.to(device) for name, value in first_batch(data, data.batch_size).items()}
    mixed = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16-mixed")
    look, learn = network_seconds(module, batch, mixed, repeats)
    network = simulated * look + learn
    step = clock.seconds / clock.steps
    expected = step + (EXPECTED_ROUNDS - simulated) * look
    return [
        Figure("images a second", data.batch_size / step, "/s"),
        Figure("  at 1.5 simulated clicks a step", data.batch_size / expected, "/s"),
        Figure("a step", 1e3 * step, "ms"),
        Figure("  simulated clicks in it", simulated, ""),
        Figure("  a pass without gradient", 1e3 * look, "ms"),
        Figure("  a pass with gradient, and the optimiser", 1e3 * learn, "ms"),
        Figure("share of a step outside the network", 1 - network / step, "", OUTSIDE_GOAL),
        Figure("memory of the GPU at its peak", clock.peak, "GiB"),
    ]


def network_seconds(
    module: InteractiveSegmentation, batch: dict[str, Tensor], mixed: Any, repeats: int
) -> tuple[float, float]:
    """Seconds of a forward pass without gradient, and of one with it, backward and optimiser included."""
    device, image = batch["image"].device, batch["image"].float() / 255
    prompt = Prompt(batch["points"], torch.zeros(batch["mask"].shape, device=device))
    optimizer = torch.optim.Adam(module.model.parameters(), lr=1e-9)

    def look() -> None:
        with torch.no_grad(), mixed:
            module.model(image, prompt)

    def learn() -> None:
        with mixed:
            logits = module.model(image, prompt)
        logits.backward(torch.full_like(logits, 1e-6))
        optimizer.step()
        optimizer.zero_grad()

    module.model.eval()
    looking = seconds_of(look, device, repeats)
    module.model.train()
    return looking, seconds_of(learn, device, repeats)


def parts(data: MISDataModule, device: torch.device, repeats: int) -> list[Figure]:
    """Time what a step does besides the network, each part alone: ms a batch."""
    batch = first_batch(data, data.batch_size)
    pinned = {k: v.pin_memory() if device.type == "cuda" else v for k, v in batch.items()}
    here = {k: v.to(device) for k, v in batch.items()}
    image = here["image"].float() / 255
    jitter, loss = ColourJitter(), ClickLoss()
    generator = torch.Generator().manual_seed(0)
    # Predictions that follow the regions loosely, so that there is much to click.
    noise = torch.rand(here["mask"].shape, device=device)
    blurred = torch.nn.functional.avg_pool2d(here["mask"].float(), 15, 1, 7, count_include_pad=False)
    probability = (0.8 * blurred + 0.3 * noise).clamp(0, 1)
    logits = torch.logit(probability, 1e-3).requires_grad_()

    def choose() -> Tensor:
        return corrective.add_corrective_clicks(here["points"], probability, here["mask"], 1, generator)

    def choose_on_cpu() -> Tensor:
        errors = corrective.error_maps(probability, here["mask"], 0.49)
        return corrective.add_clicks_on_cpu(here["points"], errors, 1, torch.rand(len(image)).tolist())

    ways: dict[str, Callable[[], object]] = {
        "sending a batch": lambda: {k: v.to(device, non_blocking=True) for k, v in pinned.items()},
        "choosing a click for every sample": choose,
        "  the same on the CPU": choose_on_cpu,
        "colour jitter": lambda: jitter(image),
        "loss, with its gradient": lambda: loss(logits, here["mask"], image)[0].backward(),
    }
    figures = [Figure(name, 1e3 * seconds_of(way, device, repeats), "ms") for name, way in ways.items()]
    return [*figures, Figure("clicks are chosen on the GPU", float(corrective_on_gpu.works_on(device)), "")]


def loading(data: MISDataModule, batches: int) -> list[Figure]:
    """Time the loader alone, workers as of the data module: images a second, the first batch left out."""
    first_batch(data, 1)
    waiting = iter(data.train_dataloader())
    next(waiting)
    start = time.perf_counter()
    for _ in range(batches):
        next(waiting)
    rate = batches * data.batch_size / (time.perf_counter() - start)
    return [
        Figure("images a second, loaded and augmented", rate, "/s"),
        Figure("  workers", float(data.num_workers), ""),
    ]


def tidy() -> None:
    """Release the memory of the last part."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
