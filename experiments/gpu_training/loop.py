"""One step of training after the other, and the weights on disk."""

from __future__ import annotations

import copy
import json
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from gpu_training.clicks import (
    Clicks,
    add_disks,
    corrective_clicks,
    corrective_clicks_on_cpu,
    first_disks,
    row_envelope,
)
from gpu_training.losses import answer_loss
from gpu_training.scenes import GpuTables, SceneSampler, SceneSettings
from gpu_training.settings import Settings, rate_at
from gpu_training.tables import CUT
from mis_lightning.files import written_whole
from mis_lightning.models import click_hybrid
from mis_lightning.models.click_hybrid import HybridClickViT, Seen, granularity_of
from mis_lightning.models.pretrained import describe, load_pretrained, save_pretrained

if TYPE_CHECKING:
    from gpu_training.tables import Tables

JUDGED = 2000
"""Samples whose mean IoU tells whether the answers have become worse."""


def grown(initial: str, depth: int, size: int) -> HybridClickViT:
    """A model of ``depth`` blocks and with granularity, that answers as the initial one does.

    New blocks start as the identity: what they would add is zero. What is recommended stays.

    Args:
        initial: Name or folder of the initial model.
        depth: At least that of the initial model.
        size: Side of the input in pixels.
    """
    old = load_pretrained(initial)
    config = dict(old.config, depth=depth, granularity=True, input_size=[size, size])
    model = HybridClickViT(**config)
    state = old.state_dict()
    missing, unexpected = model.load_state_dict(state, strict=False)
    if unexpected or not all(name.startswith(("blocks.", "granularity.")) for name in missing):
        raise ValueError(f"{initial} does not fit: {missing} {unexpected}")
    for block in model.blocks[len(old.blocks) :]:
        for layer in (block.attn.proj, block.mlp.fc2):
            torch.nn.init.zeros_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
    model.recommended = old.recommended
    return model


def doubled(x: Tensor) -> Tensor:
    """``(B, C, h, w)`` -> ``(B, C, 2h, 2w)``, bilinear with corners not aligned, as sums of shifted maps.

    What ``F.interpolate`` does; but compiled, its backward pass adds to memory atom by atom.
    """
    for axis in (2, 3):
        first, last = x.narrow(axis, 0, 1), x.narrow(axis, x.shape[axis] - 1, 1)
        before = torch.cat([first, x.narrow(axis, 0, x.shape[axis] - 1)], dim=axis)
        after = torch.cat([x.narrow(axis, 1, x.shape[axis] - 1), last], dim=axis)
        pairs = torch.stack([0.25 * before + 0.75 * x, 0.75 * x + 0.25 * after], dim=axis + 1)
        x = pairs.flatten(axis, axis + 1)
    return x


def _first_gradient(model: HybridClickViT, image: Tensor, mask: Tensor, disks: Tensor) -> Tensor:
    """The gradient of the cross-entropy of first answers, all parameters in one row."""
    logits = model.answer(model.look(image), torch.zeros_like(mask, dtype=torch.float32), disks)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, mask.float())
    wanted = [p for name, p in model.named_parameters() if not name.startswith("granularity.")]
    return torch.cat([g.float().flatten() for g in torch.autograd.grad(loss, wanted)])


class Training:
    """The model, its optimiser and what they are fed with.

    Args:
        settings: How to train.
        scenes: Other settings of the scenes.
        out: Folder of the weights.
        resume: Start from the weights there.
        say: Prints.
    """

    def __init__(
        self,
        settings: Settings,
        scenes: dict[str, Any],
        out: Path,
        resume: bool,
        say: Callable[..., None],
    ) -> None:
        self.settings, self.out, self.say = settings, out, say
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(settings.seed)
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
        self.scenes = SceneSettings(**{k: tuple(v) if isinstance(v, list) else v for k, v in scenes.items()})
        self.model = grown(settings.initial, settings.depth, self.scenes.size).to(
            self.device, memory_format=torch.channels_last
        )  # type: ignore[call-overload]
        if resume:
            self.model.load_state_dict(load_file(out / "latest.safetensors"))
        if self.device.type == "cuda":
            for block in self.model.blocks:
                block.attn.fused = True
        self.model.train()
        self.parameters = list(self.model.parameters())
        decayed = [p for p in self.parameters if p.ndim > 1]
        plain = [p for p in self.parameters if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": settings.weight_decay},
                {"params": plain, "weight_decay": 0.0},
            ],
            lr=settings.rate,
            betas=(0.9, 0.999),
        )
        self.average = [p.detach().clone() for p in self.parameters]
        self.generator = torch.Generator(self.device).manual_seed(settings.seed + 1)
        self.look: Callable[[Tensor], Seen] = self.model.look
        self.answer: Callable[..., Tensor] = self.model.answer
        self.loss = answer_loss
        self.envelope = row_envelope
        self.steps, self.answers, self.images = 0, 0, 0
        self.sampler: SceneSampler | None = None
        self.ious = torch.zeros(settings.rounds + 1, device=self.device)
        self.losses = torch.zeros(settings.rounds + 1, device=self.device)
        self.norm = torch.zeros((), device=self.device)
        self.since = (time.monotonic(), 0)
        # What to go back to when the answers get worse: the best IoU of last answers, the weights of then.
        self.best, self.kept = 0.0, [p.clone() for p in self.average]
        self.judged = torch.zeros(2)  # sum of the IoUs of last answers, and their number
        self.caution, self.restarted = 1.0, 0
        parameters = sum(p.numel() for p in self.parameters)
        say(f"{self.device}, torch {torch.__version__}, {parameters / 1e6:.2f} M weights")

    def autocast(self) -> AbstractContextManager[None]:
        """bfloat16 in matrix products and convolutions."""
        return torch.autocast(self.device.type, torch.bfloat16)

    def check_gradients(self, count: int = 8) -> float:
        """Compare the gradient of first answers with that of the same network on the CPU, in float32 there.

        Returns:
            The length of their difference, relative to that on the CPU. Above 0.2 is no rounding: then the
            plain attention takes the place of the fused one, and what that brings is said, too.
        """
        assert self.sampler is not None
        with torch.no_grad():
            scene = self.sampler.draw(max(count, 8))
        mask, image = scene.mask[:count], scene.image[:count]
        disks = first_disks(mask, self.model.click_radius, 0.0, 2, 0.5, self.generator)
        twin = copy.deepcopy(self.model).float().cpu()
        expected = _first_gradient(twin, image.cpu(), mask.cpu(), disks.cpu())

        def off() -> float:
            with self.autocast():
                got = _first_gradient(self.model, image, mask, disks).cpu()
            return float((got - expected).norm() / expected.norm())

        difference = off()
        self.say(f"gradient: norm {float(expected.norm()):.3f}, off by {difference:.3f} on {self.device}")
        if not difference < 0.2:
            for block in self.model.blocks:
                block.attn.fused = False
            difference = off()
            self.say(f"gradient with plain attention: off by {difference:.3f}")
        return difference

    def compile(self, seconds: int) -> None:
        """Compile network, loss and distances; go on without where that fails or takes too long."""

        def give_up(*_: object) -> None:
            raise TimeoutError(f"compiling took longer than {seconds} s")

        plain = self.look, self.answer, self.loss, self.envelope, click_hybrid._double
        signal.signal(signal.SIGALRM, give_up)
        signal.alarm(seconds)
        try:
            click_hybrid._double = doubled
            self.look = torch.compile(self.model.look, dynamic=False)
            self.answer = torch.compile(self.model.answer, dynamic=False)
            self.loss = torch.compile(answer_loss, dynamic=False)
            self._rehearse()
            self.say("network compiled")
        except Exception as error:  # slower is better than nothing
            torch._dynamo.reset()  # type: ignore[attr-defined]
            self.optimizer.zero_grad(set_to_none=True)  # of the rehearsal
            self.look, self.answer, self.loss, _, click_hybrid._double = plain
            self.say(f"network not compiled: {type(error).__name__}: {str(error)[:300]}")
        try:
            envelope = torch.compile(row_envelope, dynamic=False)
            size = self.scenes.size
            column = torch.randint(0, 127, (2 * self.settings.batch, size, size), device=self.device)
            column = column.square().short()
            with torch.no_grad():  # as it will be called
                if not torch.equal(envelope(column), row_envelope(column)):
                    raise ArithmeticError("other distances")
            self.envelope = envelope
            self.say("distances compiled")
        except Exception as error:
            self.say(f"distances not compiled: {type(error).__name__}: {str(error)[:300]}")
        finally:
            signal.alarm(0)
        self._clear()

    def _rehearse(self) -> None:
        """Learn nothing from a batch of the shapes and layouts to come."""
        size, count = self.scenes.size, self.settings.batch
        image = torch.rand(count, 3, size, size, device=self.device)
        mask = torch.zeros(count, 1, size, size, dtype=torch.bool, device=self.device)
        mask[:, :, size // 4 : size // 2, size // 3 : size // 2] = True
        natural = count - round(count * self.scenes.pasted) - round(count * self.scenes.drawn)
        segments = torch.zeros(natural, size * size, dtype=torch.int64, device=self.device)
        self._learn(image, mask, segments, torch.ones(count, device=self.device))
        self.optimizer.zero_grad(set_to_none=True)

    def load(self, tables: Tables) -> None:
        """Bring what is ready of the tables to the device."""
        self.sampler = None  # the old tables go first
        gpu = GpuTables(tables, self.device)
        self.sampler = SceneSampler(gpu, self.scenes, self.settings.seed + 17 * gpu.count)
        self.images = gpu.count
        self.say(f"{gpu.count} images loaded")

    def step(self, progress: float) -> None:
        """Learn from one batch; ``progress`` in [0, 1] sets the rate."""
        assert self.sampler is not None
        for group in self.optimizer.param_groups:
            group["lr"] = self.caution * rate_at(progress, self.steps - self.restarted, self.settings)
        with torch.no_grad():
            scene = self.sampler.draw(self.settings.batch)
        self._learn(scene.image, scene.mask, scene.segments, scene.counts)
        for parameter in self.parameters:
            if parameter.grad is not None:
                parameter.grad.nan_to_num_(0.0, 0.0, 0.0)
        self.norm += torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.steps += 1
        self.answers += self.settings.batch * (self.settings.rounds + 1)
        decay = min(self.settings.average, (1 + self.steps) / (20 + self.steps))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, [p.detach() for p in self.parameters], 1 - decay)

    def _learn(self, image: Tensor, mask: Tensor, segments: Tensor, counts: Tensor) -> None:
        """Add up the gradients of every answer to a batch.

        The part of the network that sees the image alone runs once; each answer is followed by its own
        backward pass, so that the activations of one answer are held at a time.
        """
        settings, radius = self.settings, self.model.click_radius
        count = len(image)
        image = image.contiguous(memory_format=torch.channels_last)
        given = granularity_of(mask.flatten(1).float().mean(1))
        hidden = (
            torch.rand(count, generator=self.generator, device=self.device) < settings.without_granularity
        )
        given = given.masked_fill(hidden, torch.nan)
        with self.autocast():
            seen = self.look(image)
        held = Seen(*(part.detach().requires_grad_() for part in seen))
        disks = first_disks(mask, radius, settings.no_start, 8, 0.65, self.generator)
        previous = torch.zeros_like(mask, dtype=torch.float32)
        # Where there is no click yet, the first one is a correction of nothing.
        started = disks.flatten(1).amax(1) > 0
        first = self._click(previous, mask)
        disks = add_disks(disks, first._replace(made=first.made & ~started), radius)
        for round_ in range(settings.rounds + 1):
            with self.autocast():
                logits = self.answer(held, previous, disks, given)
            loss, iou = self.loss(logits, mask, counts, settings.overlap_weight)
            (loss / (settings.rounds + 1)).backward()
            with torch.no_grad():
                self.losses[round_] += loss.detach()
                self.ious[round_] += iou
                if round_ < settings.rounds:
                    previous = self._returned(logits.detach(), segments)
                    disks = add_disks(disks, self._click(previous, mask), radius)
        torch.autograd.backward(list(seen), [part.grad for part in held])

    def _click(self, previous: Tensor, mask: Tensor) -> Clicks:
        shape = (len(mask), mask.shape[-1] * mask.shape[-2])
        uniform = torch.rand(shape, generator=self.generator, device=self.device)
        with torch.no_grad():
            if self.device.type == "cpu":
                return corrective_clicks_on_cpu(previous, mask, uniform)
            return corrective_clicks(previous, mask, uniform, envelope=self.envelope)

    def _returned(self, logits: Tensor, segments: Tensor) -> Tensor:
        """The answers as the next click finds them: some made hard, as a refinement by a merge tree does.

        Of the samples that show one image as it is, a share gets the mean log-odds of each segment of the
        tree beside each pixel's own, half of those as 0 or 1; the same share of the others is 0 or 1 at
        each pixel.
        """
        share = self.settings.hardened
        probability = logits.sigmoid()
        natural, rest = len(segments), len(logits) - len(segments)
        some = round(natural * share)
        if some:
            own = logits[:some].flatten(1).clamp(-4, 4)
            total = torch.zeros((2, some, CUT), device=logits.device)
            total[0].scatter_add_(1, segments[:some], own)
            total[1].scatter_add_(1, segments[:some], torch.ones_like(own))
            mean = total[0] / total[1].clamp(min=1)
            odds = (mean.gather(1, segments[:some]) + 0.5 * own).view_as(logits[:some])
            hard = some // 2
            probability[:hard] = (odds[:hard] > 0).to(probability.dtype)
            probability[hard:some] = odds[hard:].mul(2).sigmoid()
        if rest:
            last = len(logits) - round(rest * share)
            probability[last:] = (logits[last:] > 0).to(probability.dtype)
        return probability

    def go_back(self, iou: float) -> None:
        """Go back to the last good weights at a third of the rate where the answers have become much worse.

        Args:
            iou: Mean of the last answers to at least ``JUDGED`` samples; of fewer it is chance.
        """
        if iou >= 0.97 * self.best:
            self.best = max(iou, self.best)
            self.kept = [p.clone() for p in self.average]
        elif iou < 0.85 * self.best:
            with torch.no_grad():
                torch._foreach_copy_([p.detach() for p in self.parameters], self.kept)
            self.average = [p.clone() for p in self.kept]
            self.optimizer.state.clear()
            self.caution, self.restarted = self.caution / 3, self.steps
            self.say(f"IoU {iou:.3f} after {self.best:.3f}: back to those weights, at a third of the rate")

    def report(self) -> None:
        """Print how it goes, and go back where it goes wrong; waits for the device."""
        now = time.monotonic()
        steps = self.steps - self.since[1]
        if steps == 0:
            return
        ious = " ".join(f"{value:.3f}" for value in (self.ious / steps).tolist())
        losses = " ".join(f"{value:.3f}" for value in (self.losses / steps).tolist())
        speed = steps * self.settings.batch * (self.settings.rounds + 1) / max(now - self.since[0], 1e-9)
        rate = self.optimizer.param_groups[0]["lr"]
        self.say(
            f"step {self.steps}, {self.answers / 1e6:.3f} M answers, {speed:.0f} a second, rate {rate:.2e}, "
            f"IoU {ious}, loss {losses}, norm {float(self.norm) / steps:.2f}"
        )
        self.since = (now, self.steps)
        self.judged += torch.tensor([float(self.ious[-1]), steps])
        if self.judged[1] * self.settings.batch >= JUDGED:
            self.go_back(float(self.judged[0] / self.judged[1]))
            self.judged.zero_()
        self._clear()

    def _clear(self) -> None:
        for total in (self.ious, self.losses, self.norm):
            total.zero_()

    def save(self) -> None:
        """Write the averaged weights, whole or not at all: to go on from, and as a model folder.

        ``latest.safetensors`` is what ``resume`` reads, in float32; ``latest.json`` says how it came about.
        ``model`` is a model folder, in half precision as models are packaged, which another run may start
        from.
        """
        names = [name for name, _ in self.model.named_parameters()]
        average = [value.detach().float().cpu().contiguous() for value in self.average]
        with written_whole(self.out / "latest.safetensors") as temporary:
            save_file(dict(zip(names, average, strict=True)), temporary)
        words = {"steps": self.steps, "answers": self.answers, "settings": vars(self.settings)}
        with written_whole(self.out / "latest.json") as temporary:
            content = {"config": describe(self.model), **words}
            temporary.write_text(json.dumps(content, indent=2), encoding="utf-8")
        model = copy.deepcopy(self.model).cpu()
        with torch.no_grad():
            torch._foreach_copy_(list(model.parameters()), average)
        save_pretrained(model.half(), self.out / "model")
        self.say("saved")
