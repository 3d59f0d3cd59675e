"""The HTML page of a comparison of systems that were trained for the same time."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.comparison import results, runs
from experiments.comparison.entries import Entry
from experiments.comparison.plan import Plan
from experiments.pages import page, sweep_tables
from experiments.scoring import receipts

HEAD = (
    "system",
    # The arrow is not to be separated from the name, and says whether more is better.
    *(
        f"{name.replace('_', ' ')}\N{NO-BREAK SPACE}{'↑' if more else '↓'}"
        for name, more in results.SCORES.items()
    ),
    "seconds per step",
    "steps",
    "minutes",
    "generator's parameters",
    "critic's parameters",
    "seeds",
)


class Section(NamedTuple):
    """Systems whose scores may share a table.

    Attributes:
      differs: Settings in which the section differs from an earlier one; empty for the first section.
      table: Scores, with one row per system.
      receipt: Settings that the scores share, as JSON.
    """

    differs: list[str]
    table: page.Table
    receipt: str


class Picture(NamedTuple):
    """Samples of a system.

    Attributes:
      name: Name of the system.
      address: Data URL of the picture.
    """

    name: str
    address: str


def table(group: results.Group) -> page.Table:
    """Tabulates means over seeds with their intervals; the best mean of each score is marked.

    Args:
      group: Rows whose scores may share a table.
    """

    def best(name: str) -> float | None:
        means = [row.values[name].mean for row in group.rows if name in row.values]
        return (max if results.SCORES[name] else min)(means) if means else None

    leaders = {name: best(name) for name in results.SCORES}

    def entry(row: results.Row, name: str) -> page.Entry:
        if name not in row.values:
            return page.Entry(sweep_tables.ABSENT)
        mean = row.values[name]
        notes = [] if mean.low != mean.low else [sweep_tables.span(mean)]
        return page.Entry(sweep_tables.number(mean.mean), notes, best=mean.mean == leaders.get(name))

    rows = []
    for row in group.rows:
        seconds, minutes = (entry(row, name) for name in results.COSTS)
        sizes = [
            sweep_tables.ABSENT if x is None else f"{x:,}" for x in (row.entry.generator, row.entry.critic)
        ]
        rest = [page.Entry(text) for text in (*sizes, str(len(row.seeds)))]
        scores = [entry(row, name) for name in results.SCORES]
        steps = page.Entry(f"{row.steps:,}")
        rows.append(page.Row(row.entry.name, [*scores, seconds, steps, page.Entry(minutes.text), *rest]))
    return page.Table(HEAD, rows)


def text(shown: page.Table) -> str:
    """Formats a table as text, with intervals in brackets."""

    def cell(entry: page.Entry) -> str:
        return " ".join([entry.text, *(f"({note})" for note in entry.notes)])

    rows = [[row.label, *map(cell, row.entries)] for row in shown.rows]
    return "\n".join(receipts.aligned([[*shown.head], *rows]))


def _commands(directory: Path, plan: Plan, entry: Entry) -> str:
    steps = plan.steps[entry.name]["num_steps"]
    folder = runs.folder(directory, entry.name, 0)
    return "\n".join(
        f"python -m {shlex.join(words)}" for words in runs.commands(entry, folder, 0, steps, plan.num)
    )


def write(directory: Path, plan: Plan, entries: Sequence[Entry], command: str) -> str:
    """Writes ``compare.html``, ``compare.csv`` and ``compare.json`` from what a comparison has so far.

    Args:
      directory: Work directory of the comparison.
      plan: Plan of the comparison.
      entries: Entries of the comparison.
      command: Arguments of ``experiments.compare``, as a shell takes them.

    Returns:
      The tables and the failures as text.
    """
    found, failures = results.read(directory, plan, entries)
    groups = results.group(found)
    results.write_csv(directory / "compare.csv", found, failures)
    results.write_json(directory / "compare.json", plan, groups, failures)
    sections = [
        Section(each.differs, table(each), json.dumps(each.receipt, indent=1, ensure_ascii=False))
        for each in groups
    ]
    pictures = [
        Picture(run.entry.name, page.address(path.read_bytes()))
        for run in found
        if run.seed == 0
        and (path := runs.folder(directory, run.entry.name, 0) / "samples" / f"{run.steps}.png").exists()
    ]
    planned = len(entries) * plan.seeds
    page.write(
        directory / "compare.html",
        "comparison.html",
        title=plan.comparison,
        minutes=f"{plan.minutes:g}",
        num=f"{plan.num:,}",
        machine=plan.machine,
        devices=", ".join(dict.fromkeys(run.device for run in found)),
        num_runs=len(found),
        num_planned=planned,
        sections=sections,
        failures=failures,
        pictures=pictures,
        command=f"python -m experiments.compare {command}",
        commands="\n\n".join(
            _commands(directory, plan, each) for each in entries if each.name in plan.steps
        ),
    )
    lines = []
    for section in sections:
        if section.differs:
            lines += ["", "not to be compared with the above: " + "; ".join(section.differs)]
        lines.append(text(section.table))
    for failure in failures:
        seed = "" if failure.seed is None else f", seed {failure.seed}"
        lines.append(f"{failure.entry}{seed} failed: {failure.message}")
    return "\n".join(lines)
