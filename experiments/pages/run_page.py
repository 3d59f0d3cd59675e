"""The page of a run."""

import html
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.pages import page
from experiments.scoring import tracking
from experiments.training import workdir
from jaxgan.errors import SetupError

MAX_PICTURES = 8  # of the timeline
FRAME_SECONDS = 0.25
FRAME_PIXELS = 420
# Curves that are drawn together, by what they are.
PANELS = {
    "losses": ("critic_loss", "generator_loss"),
    "gradients' norms": ("critic_grad_norm", "generator_grad_norm"),
    "the critic's mean logits": ("real_logits", "fake_logits"),
}


def curves(lines: Sequence[Mapping[str, float]]) -> str:
    """A panel for each kind of curve, one for every other metric."""
    steps = [line["step"] for line in lines]
    known = {name for names in PANELS.values() for name in names}
    seen = dict.fromkeys(name for line in lines for name in line)  # stages may log different things
    others = [name for name in seen if name not in known and name != "step"]
    logged = {
        title: [name for name in names if name in seen]
        for title, names in [*PANELS.items(), *((name, (name,)) for name in others)]
    }
    panels = {title: names for title, names in logged.items() if names}
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = page.figure(4.4 * columns, 3.1 * rows)
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (title, names) in zip(places, panels.items(), strict=False):
        for name, colour, line in zip(names, ("tab:blue", "tab:red"), ("-", "--"), strict=False):
            values = [each.get(name, np.nan) for each in lines]
            axes.plot(steps, values, line, color=colour, label=name)
        axes.set(title=title, xlabel="step")
        axes.grid(alpha=0.3)
        if len(names) > 1:
            axes.legend(frameon=False)
        if title == "gradients' norms" and all(line.get(name, 1) > 0 for line in lines for name in names):
            axes.set_yscale("log")
    for axes in places[len(panels) :]:
        axes.set_visible(False)
    return page.svg(figure, "What the run logged, by step.")


def sample_pictures(directory: Path) -> list[tuple[int, Path]]:
    """The run's sample pictures, by step."""
    return sorted((int(path.stem), path) for path in (directory / "samples").glob("[0-9]*.png"))


def timeline(found: Sequence[tuple[int, Path]]) -> str:
    """Some of the pictures, evenly chosen, the first and the last among them."""
    places = np.unique(np.linspace(0, len(found) - 1, MAX_PICTURES).round().astype(int))
    figures = "".join(
        f'<figure style="width: 23%"><img alt="samples at step {step}"'
        f' src="{page.address(path.read_bytes())}">'
        f"<figcaption>step {step:,}</figcaption></figure>"
        for step, path in (found[i] for i in places)
    )
    return f'<div style="display: flex; flex-wrap: wrap; gap: 1%">{figures}</div>'


def animation(found: Sequence[tuple[int, Path]]) -> str:
    """All pictures one after another, an animated PNG."""
    from PIL import Image

    frames = []
    for _, path in found:
        with Image.open(path) as image:
            image.thumbnail((FRAME_PIXELS, FRAME_PIXELS))
            # Of few colours, for it stands in the page as text.
            frames.append(image.convert("RGB").quantize(64))
    file = io.BytesIO()
    frames[0].save(
        file, "PNG", save_all=True, append_images=frames[1:], duration=FRAME_SECONDS * 1000, loop=0
    )
    return f'<figure><img alt="animation of the samples" src="{page.address(file.getvalue())}"></figure>'


def _facts(directory: Path, config: Mapping[str, Any]) -> str:
    path = directory / "receipt.json"
    if not path.exists():
        return f"not finished; config:\n{json.dumps(config)}"
    receipt = workdir.read_json(path)
    versions = ", ".join(f"{name} {version}" for name, version in receipt["versions"].items())
    return (
        f"{receipt['step']} steps in {receipt['wall_time_seconds']} s on {receipt['device_count']} ×"
        f" {receipt['device_kind']}\nstate {receipt['state_sha256']}\n{versions}\n{json.dumps(config)}"
    )


def write(directory: Path) -> Path:
    """Writes ``report.html`` of a run's directory, and returns its path.

    Raises:
      SetupError: it is no run's directory, or the run has logged nothing yet.
    """
    path = directory / "metrics.jsonl"
    if not path.exists():
        raise SetupError(f"--workdir {directory} has no metrics.jsonl: give the folder of a run")
    lines = workdir.read_lines(path)
    if not lines:
        raise SetupError(f"{path} is empty: the run has logged nothing yet")
    config = workdir.read_json(directory / "config.json")
    workdir.check_version(directory, config)
    found = sample_pictures(directory)
    parts = [
        f"<h1>{html.escape(directory.resolve().name)}</h1>",
        f"<pre>{html.escape(_facts(directory, config))}</pre>",
        f"<h2>Curves</h2>{curves(lines)}",
    ]
    scored = directory / tracking.FILE
    if scored.exists() and (scores := workdir.read_lines(scored)):
        parts.append(f"<h2>Score</h2>{curves(scores)}")
    if found:
        parts.append(f"<h2>Samples</h2>{timeline(found)}")
    if len(found) > 1:
        parts.append(f"<h2>All of them</h2>{animation(found)}")
    page.write(directory / "report.html", directory.resolve().name, parts)
    return directory / "report.html"
