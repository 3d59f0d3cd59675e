"""Scores with their receipts, kept in files and grouped into tables of comparable scores."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from experiments.cli.config_fields import flatten
from experiments.training import workdir
from jaxgan.errors import SetupError

# Fields of a receipt that identify the scored samples. Two scores are comparable if all other fields of
# their receipts agree. Where a checkpoint is scored at several truncations, the truncation is among them.
IDENTITY = ("scored",)
LABELS = "generated.labels"  # Field of a receipt that says how the labels of the samples were chosen.
SPREADS = ("_std", "_error")  # Suffixes of the names of uncertainties, after the name of the score.
Result = Mapping[str, Any]
# The fields in which a group differs from an earlier group, empty for the first group, and the results of
# the group.
Group = tuple[list[str], list[Result]]


def read(path: Path) -> list[Result]:
    """Returns the results in a file ``scores.json``; an empty list if there is no such file.

    Raises:
      SetupError: The file cannot be read, or it holds no scores.
    """
    if not path.exists():
        return []
    found = workdir.read_json(path)
    fields = ("name", "scores", "receipt")
    if not isinstance(found, list) or not all(isinstance(x, dict) and set(fields) <= set(x) for x in found):
        raise SetupError(f"{path} holds no scores: give another --out")
    return found


def add(results: Sequence[Result], new: Result) -> list[Result]:
    """Adds a result, merged with an older result that scored the same samples in the same way."""

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
        "by_class": {**older.get("by_class", {}), **new.get("by_class", {})},
        "receipt": {**new["receipt"], "metrics": metrics},
    }
    return [*(each for each in results if each is not older), joined]


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Returns the fields whose differences between two receipts make their scores incomparable, as text.

    The settings of a metric are compared only if both receipts have the metric. How labels were chosen is
    compared only if both systems read labels.
    """
    common = set(a["metrics"]) & set(b["metrics"])

    def fields(receipt: Mapping[str, Any]) -> dict[str, Any]:
        kept = {name: value for name, value in receipt.items() if name not in IDENTITY}
        kept["metrics"] = {name: kept["metrics"][name] for name in common}
        return flatten(ConfigDict(kept))

    first, second = fields(a), fields(b)
    if LABELS not in first or LABELS not in second:
        first.pop(LABELS, None)
        second.pop(LABELS, None)
    return [
        f"{name} {first.get(name)!r} and {second.get(name)!r}"
        for name in {**first, **second}
        if first.get(name) != second.get(name)
    ]


def tables(results: Sequence[Result]) -> list[Group]:
    """Groups results whose receipts agree, in the order in which they were made."""
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
    """Returns the names of the scores of results, without the names of uncertainties."""
    found = list(dict.fromkeys(name for each in results for name in each["scores"]))
    return [name for name in found if not any(f"{base}{end}" == name for base in found for end in SPREADS)]


def spread_of(scores: Mapping[str, float], name: str) -> float | None:
    """Returns the uncertainty of a score; None if the score has no uncertainty."""
    return next((scores[name + end] for end in SPREADS if name + end in scores), None)


def cell(scores: Mapping[str, float], name: str) -> str:
    """Formats a score with its uncertainty for a table."""
    if name not in scores:
        return "–"
    spread = spread_of(scores, name)
    return f"{scores[name]:.4g}" + ("" if spread is None else f" ± {spread:.2g}")


class ClassTable(NamedTuple):
    """Values of a score by class, as text.

    Attributes:
      head: Name of the score, and the names of the results that have it.
      rows: For each class, its name and the value of each result.
    """

    head: list[str]
    rows: list[list[str]]


def class_tables(results: Sequence[Result]) -> list[ClassTable]:
    """Returns a table for each score of comparable results that has values by class."""
    names = dict.fromkeys(name for each in results for name in each.get("by_class", {}))
    tables = []
    for name in names:
        having = [each for each in results if name in each.get("by_class", {})]
        values = [each["by_class"][name] for each in having]
        classes = dict.fromkeys(label for found in values for label in found)
        rows = [[label, *(cell(found, label) for found in values)] for label in classes]
        tables.append(ClassTable([f"{name} by class", *(each["name"] for each in having)], rows))
    return tables


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns the lines of a table, with its first column at the left and the others at the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]


def show(results: Sequence[Result]) -> str:
    """Formats results as text, with one table for each group of comparable results.

    Scores by class follow in tables of their own.
    """
    lines = []
    for differs, members in tables(results):
        if differs:
            lines += ["", "not to be compared with the above: " + "; ".join(differs)]
        names = names_of(members)
        rows = [["", *names]]
        rows += [[each["name"], *(cell(each["scores"], name) for name in names)] for each in members]
        lines += aligned(rows)
        for table in class_tables(members):
            lines += ["", *aligned([table.head, *table.rows])]
    return "\n".join(lines)
