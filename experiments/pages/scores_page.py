"""The page of a run's scores."""

import html
import json
from collections.abc import Sequence
from pathlib import Path

from experiments.pages import page
from experiments.scoring import receipts


def curve(results: Sequence[receipts.Result]) -> str:
    """The scores of a run's checkpoints by step, a panel a score."""
    names = receipts.names_of(results)
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = page.figure(4.4 * columns, 3.1 * rows)
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    by_step = sorted(
        ((each["receipt"]["scored"]["step"], each["scores"]) for each in results), key=lambda pair: pair[0]
    )
    for axes, name in zip(places, names, strict=False):
        points = [
            (step, scores[name], receipts.spread_of(scores, name) or 0)
            for step, scores in by_step
            if name in scores
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


def write_page(path: Path, results: Sequence[receipts.Result]) -> None:
    """Writes ``scores.html``: a table and a curve for each group of results that compares."""
    parts = [f"<h1>Scores of {html.escape(path.resolve().parent.name)}</h1>"]
    for differs, members in receipts.tables(results):
        if differs:
            parts.append(f"<p>Not to be compared with the above: {html.escape('; '.join(differs))}</p>")
        names = receipts.names_of(members)
        cells = [
            f"<tr><td>{html.escape(each['name'])}</td>"
            + "".join(f"<td>{receipts.cell(each['scores'], name)}</td>" for name in names)
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
