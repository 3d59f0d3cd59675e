"""Scores beside each other: those whose receipts agree in one table, others apart, the difference named."""

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from experiments import page, workdir
from experiments.cli import flatten
from jaxgan.errors import SetupError

# What tells apart the things that are scored. All else in two receipts must agree for scores to compare.
IDENTITY = ("scored",)

SPREADS = ("_std", "_error")  # what a score's own uncertainty is called after

Result = Mapping[str, Any]
# The fields in which it differs from a group before it, none of the first, and its results.
Group = tuple[list[str], list[Result]]


def read(path: Path) -> list[Result]:
    """The results that a ``scores.json`` holds; none if there is no such file.

    Raises:
      SetupError: it cannot be read, or holds something else.
    """
    if not path.exists():
        return []
    found = workdir.read_json(path)
    fields = ("name", "scores", "receipt")
    if not isinstance(found, list) or not all(isinstance(x, dict) and set(fields) <= set(x) for x in found):
        raise SetupError(f"{path} holds no scores: give another --out")
    return found


def add(results: Sequence[Result], new: Result) -> list[Result]:
    """The results with a new one, joined to an older one of the same thing made in the same way."""

    def same(old: Result) -> bool:
        scored = old["receipt"]["scored"] == new["receipt"]["scored"]
        return scored and not differences(old["receipt"], new["receipt"])

    older = next((each for each in results if same(each)), None)
    if older is None:
        return [*results, new]
    metrics = {**older["receipt"]["metrics"], **new["receipt"]["metrics"]}
    joined = {
        **new,
        "scores": {**older["scores"], **new["scores"]},
        "receipt": {**new["receipt"], "metrics": metrics},
    }
    return [*(each for each in results if each is not older), joined]


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """The fields in which two receipts differ although they may not, as text; none if their scores compare.

    Settings of metrics count where both have the metric.
    """
    common = set(a["metrics"]) & set(b["metrics"])

    def fields(receipt: Mapping[str, Any]) -> dict[str, Any]:
        kept = {name: value for name, value in receipt.items() if name not in IDENTITY}
        kept["metrics"] = {name: kept["metrics"][name] for name in common}
        return flatten(ConfigDict(kept))

    first, second = fields(a), fields(b)
    return [
        f"{name} {first.get(name)!r} and {second.get(name)!r}"
        for name in {**first, **second}
        if first.get(name) != second.get(name)
    ]


def tables(results: Sequence[Result]) -> list[Group]:
    """Results in groups whose receipts agree, in the order they were made."""
    groups: list[Group] = []
    for result in results:
        differs: list[str] = []
        for _, members in groups:
            found = [differences(each["receipt"], result["receipt"]) for each in members]
            if not any(found):
                members.append(result)
                break
            differs = differs or next(filter(None, found))
        else:
            groups.append((differs, [result]))
    return groups


def _names(results: Sequence[Result]) -> list[str]:
    """The scores that results have; a score's uncertainty stands beside it."""
    found = list(dict.fromkeys(name for each in results for name in each["scores"]))
    return [name for name in found if not any(f"{base}{end}" == name for base in found for end in SPREADS)]


def _spread(scores: Mapping[str, float], name: str) -> float | None:
    return next((scores[name + end] for end in SPREADS if name + end in scores), None)


def _cell(scores: Mapping[str, float], name: str) -> str:
    if name not in scores:
        return "–"
    spread = _spread(scores, name)
    return f"{scores[name]:.4g}" + ("" if spread is None else f" ± {spread:.2g}")


def show(results: Sequence[Result]) -> str:
    """The results as text, a table for each group that compares."""
    lines = []
    for differs, members in tables(results):
        if differs:
            lines += ["", "not to be compared with the above: " + "; ".join(differs)]
        names = _names(members)
        rows = [["", *names]]
        rows += [[each["name"], *(_cell(each["scores"], name) for name in names)] for each in members]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines += [
            "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
        ]
    return "\n".join(lines)


def curve(results: Sequence[Result]) -> str:
    """The scores of a run's checkpoints by step, a panel a score."""
    names = _names(results)
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = page.figure(4.4 * columns, 3.1 * rows)
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    by_step = sorted(
        ((each["receipt"]["scored"]["step"], each["scores"]) for each in results), key=lambda pair: pair[0]
    )
    for axes, name in zip(places, names, strict=False):
        points = [
            (step, scores[name], _spread(scores, name) or 0) for step, scores in by_step if name in scores
        ]
        steps, values, spreads = zip(*points, strict=True)
        axes.errorbar(
            steps, values, spreads if any(spreads) else None, fmt="o-", capsize=3, color="tab:blue"
        )
        axes.set(title=name, xlabel="step")
        axes.grid(alpha=0.3)
    for axes in places[len(names) :]:
        axes.set_visible(False)
    return page.svg(figure, "Scores of the run's checkpoints, by step.")


def write_page(path: Path, results: Sequence[Result]) -> None:
    """Writes ``scores.html``: a table and a curve for each group of results that compares."""
    parts = [f"<h1>Scores of {html.escape(path.resolve().parent.name)}</h1>"]
    for differs, members in tables(results):
        if differs:
            parts.append(f"<p>Not to be compared with the above: {html.escape('; '.join(differs))}</p>")
        names = _names(members)
        cells = [
            f"<tr><td>{html.escape(each['name'])}</td>"
            + "".join(f"<td>{_cell(each['scores'], name)}</td>" for name in names)
            + "</tr>"
            for each in members
        ]
        parts.append(page.table(["", *names], cells))
        ours = [each for each in members if "step" in each["receipt"]["scored"]]
        if len({each["receipt"]["scored"]["step"] for each in ours}) > 1:
            parts.append(curve(ours))
        receipt = {k: v for k, v in members[0]["receipt"].items() if k != "scored"}
        parts.append(f"<pre>{html.escape(json.dumps(receipt, indent=1, ensure_ascii=False))}</pre>")
    page.write(path, "Scores", parts)
