"""``mis reproduce``: train, test and report the rows of the paper's tables on this machine.

First everything that the rows need is looked for, and what is missing is listed with where to get it and its
licence. Then a minute of training tells how long it will take. Then run after run: regions, training, tests;
and the tables, what was measured beside what was published. Started again, it goes on where it was.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from mis_lightning.commands import report
from mis_lightning.commands.paper_needs import Machine, Needs, look
from mis_lightning.commands.paper_runs import MIS, Run, choose_rows, commands, runs_of
from mis_lightning.console import counted
from mis_lightning.data.sbd import TRAINING_IMAGES
from mis_lightning.data.training_images import find_training_images
from mis_lightning.errors import InputError
from mis_lightning.files import written_whole
from mis_lightning.metrics.paper_tables import PaperTable, paper_tables

BATCH = 32  # of all GPUs together
EPOCHS = 55
QUICK = 100  # times shorter
SPEED_TABLES = ("I", "IV")


def main(argv: Sequence[str]) -> int:
    """Run ``mis reproduce [TABLE...]``.

    Returns:
        0; 1 if something is missing, a run failed, or rows were left out.

    Raises:
        InputError: An option is out of range, or there is no such table or row.
    """
    words = list(argv)
    extra = words[words.index("--") + 1 :] if "--" in words else []
    given = _parser().parse_args(words[: words.index("--")] if "--" in words else words)
    tables = paper_tables()
    chosen = choose_rows(tables, given.tables, given.rows or [])
    runs = runs_of(chosen)
    device = given.device or "cuda"
    import torch  # takes a second, and --help does without

    gpus = given.gpus or (torch.cuda.device_count() if device == "cuda" else 1) or 1
    if gpus < 1 or BATCH % gpus:
        raise InputError(f"Expected --gpus to divide the batch of {BATCH}, but got {gpus}.")
    if given.minute < 0:
        raise InputError(f"Expected --minute of at least 0, but got {given.minute:g}.")
    benchmarks = given.data or Path(os.environ.get("MIS_DATA_DIR", "."))
    machine = Machine(
        given.sbd or benchmarks / "SBD",
        benchmarks,
        given.weights,
        given.folder,
        given.allow_incomplete,
        device,
    )
    needs = look(runs, machine)
    _print_needs(runs, needs)
    able = [run for run in runs if not needs.blocking(run.name)]
    if needs.missing and not (given.skip_missing or given.dry_run):
        print("\nNothing was run. --skip-missing runs the rows that have all they need.")
        return 1
    overlays = _overlays(given.folder, given.allow_incomplete and not given.dry_run)
    work = Work(machine, needs, overlays, gpus, given.quick, extra)
    speed = (
        any(table.name in SPEED_TABLES for table, _ in chosen)
        and "SBD's training images" not in needs.missing
    )
    if given.dry_run:
        for run in runs:
            print(f"\n# {run.name}: serves {', '.join(run.rows)}")
            print("\n".join(map(shlex.join, work.commands(run))) or "# finished")
        if speed:
            print(f"\n# speed\n{shlex.join(work.speed_command())}")
        return 0
    if able and given.minute:
        work.estimate(able, given.minute)
    failed = [run.name for number, run in enumerate(able, 1) if not work.do(run, f"[{number}/{len(able)}]")]
    if speed and not (given.folder / "proposals.json").is_file():
        _call(work.speed_command(), work.environment())
    _report(tables, runs, given.folder)
    for run in runs:
        for row in run.rows if needs.blocking(run.name) else ():
            print(f"Not run: {row}, for lack of {'; '.join(needs.blocking(run.name))}.")
    if failed:
        print(f"Failed: {', '.join(failed)}; run the command again to continue.", file=sys.stderr)
    return int(bool(failed or needs.missing))


class Work:
    """The commands of the runs, and their doing.

    Args:
        machine: Where things are.
        needs: What was found.
        overlays: Config of each evaluation, by name.
        gpus: GPUs of a run.
        quick: Whether runs are a hundredth as long.
        extra: Further options of every run.
    """

    def __init__(
        self,
        machine: Machine,
        needs: Needs,
        overlays: dict[str, Path],
        gpus: int,
        quick: bool,
        extra: Sequence[str],
    ) -> None:
        self.machine = machine
        self.needs = needs
        self.overlays = overlays
        self.quick = quick
        short = [f"--trainer.max_steps={self.steps}", "--trainer.limit_test_batches=1"] if quick else []
        self.extra = [
            f"--trainer.accelerator={'gpu' if machine.device == 'cuda' else 'cpu'}",
            f"--trainer.devices={gpus}",
            f"--data.batch_size={BATCH // gpus}",
            *short,
            *extra,
        ]

    @cached_property
    def steps(self) -> int:
        """Training steps of a run; of the published length where SBD is not there to count."""
        try:
            images = len(find_training_images(self.machine.sbd))
        except InputError:
            images = TRAINING_IMAGES
        steps = EPOCHS * max(1, images // BATCH)
        return math.ceil(steps / QUICK) if self.quick else steps

    def commands(self, run: Run) -> list[list[str]]:
        """What is left to do for a run."""
        evaluations = [self.overlays[name] for name in run.overlays]
        args = [*run.row.fit, *self.needs.options[run.name]]
        return commands(args, self.machine.folder / run.name, evaluations, self.extra)

    def do(self, run: Run, number: str) -> bool:
        """Do it; whether it is done."""
        todo = self.commands(run)
        print(
            f"\n{number} {run.name}: {', '.join(run.rows)}" + ("" if todo else ": done already"), flush=True
        )
        return all(_call(command, self.environment()) for command in todo)

    def environment(self) -> dict[str, str]:
        """For the commands: where the benchmarks are."""
        return {**os.environ, "MIS_DATA_DIR": str(self.machine.benchmarks)}

    def speed_command(self) -> list[str]:
        """The command of Table IV, and of the speed column of Table I."""
        images, count = str(self.machine.sbd / "img"), "2" if self.quick else "100"
        file = str(self.machine.folder / "proposals.json")
        return [
            *MIS,
            "bench",
            "proposals",
            "--images",
            images,
            "--count",
            count,
            "--repeats",
            "1",
            "--vit",
            "--json",
            file,
        ]

    def estimate(self, runs: Sequence[Run], seconds: float) -> None:
        """Train for some seconds, and say how long all will take; kept, so that it is measured once."""
        kept = self.machine.folder / "estimate.json"
        if kept.is_file():
            rate = float(json.loads(kept.read_text(encoding="utf-8"))["steps_per_second"])
        else:
            rate = self._measure(runs[0], seconds)
            with written_whole(kept) as temporary:
                temporary.write_text(json.dumps({"steps_per_second": rate}) + "\n", encoding="utf-8")
        left = [run for run in runs if self.commands(run)]
        hours = len(left) * self.steps / rate / 3600
        print(
            f"\n{rate:.2f} steps a second: about {hours:.1f} hours for {self.steps} steps of each of "
            f"{counted(len(left), 'unfinished training')}; tests and regions add to that.",
            flush=True,
        )

    def _measure(self, run: Run, seconds: float) -> float:
        folder = self.machine.folder / "measured"
        clock = f"{int(seconds) // 86400:02}:{int(seconds) // 3600 % 24:02}:{int(seconds) // 60 % 60:02}"
        logger = "--trainer.logger.init_args."
        command = [
            *(*MIS, "fit", *run.row.fit, *self.needs.options[run.name], *self.extra),
            f"--trainer.default_root_dir={folder}",
            *(f"{logger}save_dir={folder}", f"{logger}name=log", f"{logger}version="),
            *(f"--trainer.max_time={clock}:{int(seconds) % 60:02}", "--trainer.log_every_n_steps=1"),
            *("--trainer.max_steps=-1", "--trainer.max_epochs=-1"),
        ]
        print("\nMeasuring:", flush=True)
        if not _call(command, self.environment()):
            raise InputError("The training that measures the speed failed; its message is above.")
        with (folder / "log" / "metrics.csv").open(encoding="utf-8", newline="") as file:
            steps = [int(row["step"]) for row in csv.DictReader(file) if row.get("step")]
        return (max(steps, default=0) + 1) / seconds


def _call(command: Sequence[str], environment: dict[str, str]) -> bool:
    print(f"$ {shlex.join(command)}", flush=True)
    return subprocess.run(command, check=False, env=environment).returncode == 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mis reproduce",
        description=__doc__.replace("``", ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("tables", nargs="*", metavar="TABLE", help="main, I, II, III, IV, V (default: all)")
    parser.add_argument(
        "--rows", nargs="+", metavar="TABLE/ROW", help="only these, e.g. main/mis II/dino_s16"
    )
    parser.add_argument("--data", type=Path, help="folder of the benchmarks (default: $MIS_DATA_DIR)")
    parser.add_argument("--sbd", type=Path, help="SBD, with img/, inst/, train.txt (default: SBD in --data)")
    parser.add_argument("--weights", type=Path, default=Path("weights"), help="folder of weight files")
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/paper"), help="folder for everything that is written"
    )
    parser.add_argument("--device", choices=["cuda", "cpu"], help="default: cuda")
    parser.add_argument("--gpus", type=int, help="GPUs that share the batch of 32 (default: all there are)")
    parser.add_argument(
        "--minute",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="measure the speed for so long; 0: do not",
    )
    parser.add_argument("--quick", action="store_true", help="a hundredth of the schedule, 16 objects a test")
    parser.add_argument("--dry-run", action="store_true", help="print what is missing, and the commands")
    parser.add_argument("--skip-missing", action="store_true", help="run the rows that have all they need")
    parser.add_argument("--allow-incomplete", action="store_true", help="accept fewer images than published")
    parser.epilog = "Options after -- are passed on to every `mis fit` and `mis test`, after all others."
    return parser


def _print_needs(runs: Sequence[Run], needs: Needs) -> None:
    rows = sum(len(run.rows) for run in runs)
    print(f"{counted(rows, 'row')}, {counted(len(runs), 'training')}.")
    if not needs.missing:
        print("Data, weights, disk and device: all there.")
        return
    print("\nMissing:")
    for what, remedy in needs.missing.items():
        blocked = needs.blocked[what]
        for_whom = "all" if len(blocked) == len(runs) else ", ".join(blocked)
        print(f"* {what} (for {for_whom})\n  {remedy}")


def _overlays(folder: Path, incomplete: bool) -> dict[str, Path]:
    """The configs of the evaluations: those of the package, or copies that accept incomplete benchmarks."""
    names = ("natural", "davis", "medical")
    if not incomplete:
        return {name: Path(f"evaluation/{name}") for name in names}
    copies = {}
    for name in names:
        text = files("mis_lightning").joinpath(f"configs/evaluation/{name}.yaml").read_text("utf-8")
        config = yaml.safe_load(text)
        for benchmark in config["data"]["test_benchmarks"]:
            benchmark["init_args"]["allow_incomplete"] = True
        copies[name] = folder / "evaluation" / f"{name}.yaml"
        copies[name].parent.mkdir(parents=True, exist_ok=True)
        with written_whole(copies[name]) as temporary:
            temporary.write_text(yaml.safe_dump(config), encoding="utf-8")
    return copies


def _report(tables: Sequence[PaperTable], runs: Sequence[Run], folder: Path) -> None:
    """Print and write the tables; each row from the run that serves it, whatever its config says."""
    places: list[str] = []
    for run in runs:
        if any((folder / run.name).glob("**/results.json")):
            places += [f"{row}={folder / run.name}" for row in run.rows]
    speeds = folder / "proposals.json"
    entries: list[Any] = [*places, *([str(speeds)] if speeds.is_file() else [])]
    print()
    report.main([*(entries or [str(folder)]), "--out", str(folder / "tables.md")])
