"""Scores with their receipts: kept in files, and grouped by what compares."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from experiments.cli.config_fields import flatten
from experiments.training import workdir
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


def names_of(results: Sequence[Result]) -> list[str]:
    """The scores that results have; a score's uncertainty stands beside it."""
    found = list(dict.fromkeys(name for each in results for name in each["scores"]))
    return [name for name in found if not any(f"{base}{end}" == name for base in found for end in SPREADS)]


def spread_of(scores: Mapping[str, float], name: str) -> float | None:
    """Returns the uncertainty that belongs to a score; None if it has none."""
    return next((scores[name + end] for end in SPREADS if name + end in scores), None)


def cell(scores: Mapping[str, float], name: str) -> str:
    """Formats a score with its uncertainty for a table."""
    if name not in scores:
        return "–"
    spread = spread_of(scores, name)
    return f"{scores[name]:.4g}" + ("" if spread is None else f" ± {spread:.2g}")


def show(results: Sequence[Result]) -> str:
    """The results as text, a table for each group that compares."""
    lines = []
    for differs, members in tables(results):
        if differs:
            lines += ["", "not to be compared with the above: " + "; ".join(differs)]
        names = names_of(members)
        rows = [["", *names]]
        rows += [[each["name"], *(cell(each["scores"], name) for name in names)] for each in members]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines += [
            "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
        ]
    return "\n".join(lines)
