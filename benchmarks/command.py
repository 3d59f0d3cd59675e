"""Command-line flags that the benchmarks share, and the file that their results are written to."""

import argparse
import importlib.metadata
import importlib.util
import json
import platform
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import Any

from jaxgan import host

PACKAGES = ("jax", "jaxlib", "torch", "numpy")


def parser(usage: str | None, names: Collection[str], rounds: int | None = None) -> argparse.ArgumentParser:
    """Creates a parser with ``--only``, and with ``--rounds`` if a default number of rounds is given."""
    made = argparse.ArgumentParser(description=usage, formatter_class=argparse.RawTextHelpFormatter)
    made.add_argument("--only", default=",".join(names), help="which of these to run, separated by commas")
    if rounds is not None:
        made.add_argument("--rounds", type=int, default=rounds)
    return made


def parse(
    made: argparse.ArgumentParser, names: Collection[str], argv: list[str] | None = None
) -> tuple[list[str], argparse.Namespace]:
    """Parses the flags and returns the names given by ``--only``, and all flags.

    A mistake ends the process with exit status 2.

    Args:
      made: Parser from :func:`parser`.
      names: Names that ``--only`` may contain.
      argv: Arguments; those of the process if not given.
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
    """Ends the process if PyTorch is not installed."""
    if importlib.util.find_spec("torch") is None:
        made.error('PyTorch is absent: pip install "jaxgan[bench]"')


def machine() -> dict[str, Any]:
    """Returns a description of the machine, the commit and the package versions."""
    installed = {package.name: package.version for package in importlib.metadata.distributions()}
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "commit": commit.stdout.strip(),
        "cpu": host.processor(),
        "cores": host.count_cores(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        **{name: installed[name] for name in PACKAGES if name in installed},
    }


def write(path: str, results: list[dict[str, Any]]) -> None:
    """Writes results to a JSON file, together with the machine that they were measured on."""
    Path(path).write_text(json.dumps({"machine": machine(), "results": results}, indent=2) + "\n")
