"""What the benchmarks' command lines share: their flags, and the file that their figures go to."""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import Any

PACKAGES = ("jax", "jaxlib", "torch", "numpy")


def parser(usage: str | None, names: Collection[str], rounds: int | None = None) -> argparse.ArgumentParser:
    """A parser of ``--only``, and of ``--rounds`` if there are any."""
    made = argparse.ArgumentParser(description=usage, formatter_class=argparse.RawTextHelpFormatter)
    made.add_argument("--only", default=",".join(names), help="of these, separated by commas")
    if rounds is not None:
        made.add_argument("--rounds", type=int, default=rounds)
    return made


def parse(
    made: argparse.ArgumentParser, names: Collection[str], argv: list[str] | None = None
) -> tuple[list[str], argparse.Namespace]:
    """What is asked for by ``--only``, and all flags; a mistake ends the process with status 2.

    Args:
      made: by :func:`parser`.
      names: those there are.
      argv: the process' own arguments if not given.
    """
    given = made.parse_args(argv)
    chosen = given.only.split(",")
    unknown = [name for name in chosen if name not in names]
    if unknown:
        made.error(f"--only: there is no {unknown[0]!r}: one of {', '.join(names)}")
    if getattr(given, "rounds", 2) < 2:
        made.error(f"--rounds {given.rounds}: medians and quartiles need 2 or more")
    return chosen, given


def need_torch(made: argparse.ArgumentParser) -> None:
    """Ends the process where PyTorch is not installed."""
    if importlib.util.find_spec("torch") is None:
        made.error('PyTorch is absent: pip install "jaxgan[bench]"')


def machine() -> dict[str, Any]:
    """What it was measured on, and what was measured."""
    installed = {package.name: package.version for package in importlib.metadata.distributions()}
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "commit": commit.stdout.strip(),
        "cpu": models[0] if models else platform.processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        **{name: installed[name] for name in PACKAGES if name in installed},
    }


def write(path: str, results: list[dict[str, Any]]) -> None:
    """Writes figures with the machine that they are of."""
    Path(path).write_text(json.dumps({"machine": machine(), "results": results}, indent=2) + "\n")
