"""The HTML page of a training run."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.pages import page
from experiments.scoring import tracking
from experiments.training import workdir
from jaxgan.errors import SetupError

MAX_PICTURES = 8  # pictures in the timeline
FRAME_SECONDS = 0.25
FRAME_PIXELS = 420
# Metrics that share a panel, by the panel's title.
PANELS = {
    "losses": ("critic_loss", "generator_loss"),
    "gradient norms": ("critic_grad_norm", "generator_grad_norm"),
    "mean logits of the critic": ("real_logits", "fake_logits"),
}
LOGARITHMIC = "gradient norms"  # the panel with a logarithmic axis where all values allow it


class Frame(NamedTuple):
    """A sample picture in the timeline.

    Attributes:
      step: Step at which the samples were drawn, as text.
      address: Data URL of the picture.
    """

    step: str
    address: str


def curves(lines: Sequence[Mapping[str, float]], caption: str) -> page.Plot:
    """Plots logged metrics against the step, with one panel per entry of ``PANELS`` or other metric."""
    steps = [line["step"] for line in lines]
    known = {name for names in PANELS.values() for name in names}
    seen = dict.fromkeys(name for line in lines for name in line)  # stages may log different metrics
    others = [name for name in seen if name not in known and name != "step"]
    logged = {
        title: [name for name in names if name in seen]
        for title, names in [*PANELS.items(), *((name, (name,)) for name in others)]
    }
    panels = {title: names for title, names in logged.items() if names}
    figure, places = page.panels(len(panels))
    for axes, (title, names) in zip(places, panels.items(), strict=True):
        for name, colour, line in zip(names, ("tab:blue", "tab:red"), ("-", "--"), strict=False):
            values = [each.get(name, np.nan) for each in lines]
            axes.plot(
                steps, values, line, color=colour, label=name, marker="o" if len(lines) == 1 else None
            )
        axes.set(title=title, xlabel="step")
        axes.grid(alpha=0.3)
        if len(names) > 1:
            axes.legend(frameon=False)
        if title == LOGARITHMIC and all(line.get(name, 1) > 0 for line in lines for name in names):
            axes.set_yscale("log")
    return page.svg(figure, caption)


def sample_pictures(directory: Path) -> list[tuple[int, Path]]:
    """Returns the steps and paths of a run's sample pictures, ordered by step."""
    return sorted((int(path.stem), path) for path in (directory / "samples").glob("[0-9]*.png"))


def timeline(found: Sequence[tuple[int, Path]]) -> list[Frame]:
    """Returns up to ``MAX_PICTURES`` evenly spaced pictures, including the first and the last."""
    if not found:
        return []
    places = np.unique(np.linspace(0, len(found) - 1, MAX_PICTURES).round().astype(int))
    chosen = [found[place] for place in places]
    return [Frame(f"{step:,}", page.address(path.read_bytes())) for step, path in chosen]


def animation(found: Sequence[tuple[int, Path]]) -> str:
    """Returns a data URL of an animated PNG that shows all pictures in order."""
    from PIL import Image

    frames = []
    for _, path in found:
        with Image.open(path) as image:
            image.thumbnail((FRAME_PIXELS, FRAME_PIXELS))
            # A small palette keeps the page small, because the animation is embedded in the page.
            frames.append(image.convert("RGB").quantize(64))
    file = io.BytesIO()
    frames[0].save(
        file, "PNG", save_all=True, append_images=frames[1:], duration=FRAME_SECONDS * 1000, loop=0
    )
    return page.address(file.getvalue())


def _facts(directory: Path, config: Mapping[str, Any]) -> str:
    path = directory / "receipt.json"
    if not path.exists():
        return f"This run has not finished.\nconfig: {json.dumps(config)}"
    receipt = workdir.read_json(path)
    versions = ", ".join(f"{name} {version}" for name, version in receipt["versions"].items())
    return (
        f"{receipt['step']} steps in {receipt['wall_time_seconds']} s on {receipt['device_count']} ×"
        f" {receipt['device_kind']}\nSHA-256 of the final state: {receipt['state_sha256']}\n{versions}\n"
        f"config: {json.dumps(config)}"
    )


def write(directory: Path) -> Path:
    """Writes ``report.html`` into the work directory of a run.

    Args:
      directory: Work directory of a run, which may still be training.

    Returns:
      The path of the page.

    Raises:
      SetupError: The directory does not belong to a run, or the run has logged nothing yet.
    """
    path = directory / "metrics.jsonl"
    if not path.exists():
        raise SetupError(f"--workdir {directory} has no metrics.jsonl: give the folder of a run")
    lines = workdir.read_lines(path)
    if not lines:
        raise SetupError(f"{path} is empty: the run has logged nothing yet")
    config = workdir.read_json(directory / "config.json")
    workdir.check_version(directory, config)
    scored = directory / tracking.FILE
    scores = workdir.read_lines(scored) if scored.exists() else []
    found = sample_pictures(directory)
    page.write(
        directory / "report.html",
        "run.html",
        title=directory.resolve().name,
        facts=_facts(directory, config),
        curves=curves(lines, "Metrics logged by the run, by step."),
        scores=curves(scores, "Score of the run, by step.") if scores else None,
        timeline=timeline(found),
        animation=animation(found) if len(found) > 1 else None,
    )
    return directory / "report.html"
