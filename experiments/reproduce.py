"""Print the exact commands behind each row of the paper's tables.

    python experiments/reproduce.py              every row, as experiments/reproduce.md has them
    python experiments/reproduce.py II/dino_s16  one row; `... | sh` runs it

The rows and their options are those of mis_lightning/assets/paper_tables.json, which `mis report` reads as
well. ``SBD`` is the folder with img/, inst/ and train.txt, ``MAE`` the file mae_pretrain_vit_base.pth; the
benchmarks are found through ``MIS_DATA_DIR``.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from sweep import MIS, Point, commands

from mis_lightning.metrics.paper_tables import PaperRow, PaperTable, paper_tables

FOLDER = "runs/paper"
NATURAL = tuple(Path(f"evaluation/{name}") for name in ("natural", "davis"))
MEDICAL = Path("evaluation/medical")
INPUTS = ("--data.images=$SBD", "--model.initial_weights=$MAE")
SPEED = ("I", "IV")
"""Tables with images a second, which `mis bench proposals` measures."""

ABOUT = f"""\
# The paper's tables, command by command

`python experiments/reproduce.py > experiments/reproduce.md` writes this page, from the rows and options that
`mis report` knows. A row takes days on a GPU, and none was run for this repository; `mis report {FOLDER}`
prints what has been run, and leaves the rest blank. Several seeds become mean ± standard deviation:
give each a folder of its own, `--seed_everything=1 --trainer.default_root_dir=…`.

The paper trains on 32 images a step in all, and `data.batch_size` is that of one GPU: on four, add
`--data.batch_size=8`, on its two `--data.batch_size=16`.

```sh
SBD=path/to/SBD/dataset            # with img/, inst/ and train.txt: mis prepare SBD
MAE=mae_pretrain_vit_base.pth      # https://dl.fbaipublicfiles.com/mae/pretrain/mae_pretrain_vit_base.pth
export MIS_DATA_DIR=path/to/data   # GrabCut/, Berkeley/, SBD/, DAVIS/, BraTS/, OAIZIB/
```

MoCo v3 and DenseCL have no weights in timm's hub: `mis fit` names the file that is missing, where it comes
from and where it goes. Whole tables without an account: `python experiments/sweep.py
configs/sweeps/extractors.yaml` (`connectivity.yaml`, `deep_spectral.yaml`)."""


def row_commands(table: PaperTable, row: PaperRow) -> list[str]:
    """The commands of one row: training, then each evaluation of its table."""
    benchmarks = {benchmark for benchmark, _ in table.columns}
    evaluations = [
        *(NATURAL if "GrabCut" in benchmarks else ()),
        *([MEDICAL] if "BraTS" in benchmarks else []),
    ]
    folder = Path(FOLDER) / table.name / row.name
    todo = commands(Point(row.name, (*row.fit, *INPUTS)), folder, evaluations, ())
    # Quoted but for the variables, which the shell is to fill in.
    return [
        "mis " + " ".join(f'"{word}"' if "$" in word else shlex.quote(word) for word in words[len(MIS) :])
        for words in todo
    ]


def speed_command() -> str:
    """The command of Table IV, and of the speed column of Table I."""
    return (
        f'mis bench proposals --images "$SBD/img" --count 100 --strides 8 16 --json {FOLDER}/proposals.json'
    )


def page(tables: Sequence[PaperTable]) -> str:
    """All rows as Markdown; a run that serves several rows is written out once."""
    parts, first = [ABOUT], {}
    for table in tables:
        parts.append(f"## {table.title}")
        if table.name in SPEED:
            parts.append(f"Images a second:\n\n{_block([speed_command()])}")
        for row in table.rows:
            if not row.fit:
                continue
            name = f"{table.name}/{row.name}"
            known = first.setdefault(tuple(row.fit), name)
            text = f"The run of `{known}`." if known != name else _block(row_commands(table, row))
            parts.append(f"**`{name}`** {row.label}\n\n{text}")
    return "\n\n".join(parts) + "\n"


def _block(lines: Sequence[str]) -> str:
    return "\n".join(["```sh", *lines, "```"])


def main(args: Sequence[str] | None = None) -> int:
    """Print the commands of one row or the page of all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("row", nargs="?", help="e.g. main/mis, I/full, II/dino_s16, V/s8, IV")
    given = parser.parse_args(args)
    tables = paper_tables()
    if given.row is None:
        print(page(tables), end="")
        return 0
    if given.row in SPEED:
        print(speed_command())
        return 0
    name, _, row_name = re.sub(r"^Table ", "", given.row).partition("/")
    rows = [(t, r) for t in tables for r in t.rows if (t.name, r.name) == (name, row_name) and r.fit]
    if not rows:
        known = ", ".join([*(f"{t.name}/{r.name}" for t in tables for r in t.rows if r.fit), *SPEED])
        parser.error(f"there is no row {given.row!r}; rows: {known}")
    print("\n".join(row_commands(*rows[0])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
