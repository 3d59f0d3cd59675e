"""The table of configs in README.md, made from their docstrings."""

import ast
import re
import textwrap

from experiments.cli import config_files
from jaxgan.errors import SetupError

MARKERS = ("<!-- systems -->", "<!-- end of systems -->")


def describe(name: str) -> tuple[str, str]:
    """Describes a config by the first sentence of its docstring and its training time.

    Args:
      name: Name of a config that comes with the project.

    Returns:
      The sentence without its full stop, and the time on two cores, which is empty for a config that is
      meant for accelerators.
    """
    text = ast.get_docstring(ast.parse(config_files.resolve(name)[0].read_text())) or ""
    first = " ".join(text.partition("\n\n")[0].split()).rstrip(".")
    flat = " ".join(text.split())
    time = re.search(r"takes (?:about )?(\d[\w .]*?) on 2 cores", flat)
    return first, "" if "for a GPU or TPU" in flat or not time else time[1]


def table() -> str:
    """Returns the table of all configs except the studies, in Markdown.

    Configs for accelerators are named in a sentence below the table.
    """
    lines = ["| config | what it trains | time on 2 cores |", "| --- | --- | --- |"]
    large = []
    for name in config_files.list_configs():
        if config_files.resolve(name)[0].parent != config_files.CONFIGS:
            continue
        first, time = describe(name)
        if time:
            lines.append(f"| `{name}` | {first} | {time} |")
        else:
            large.append(f"`{name}`")
    return "\n".join(lines) + "\n\n" + textwrap.fill(f"For accelerators: {', '.join(large)}.", 108)


def insert(text: str) -> str:
    """Replaces the part of a Markdown text between the markers with the table.

    Args:
      text: Markdown text that contains both of ``MARKERS``.

    Raises:
      SetupError: The text lacks a marker.
    """
    before, first, rest = text.partition(MARKERS[0])
    _, last, after = rest.partition(MARKERS[1])
    if not first or not last:
        raise SetupError(f"--write: the file lacks the lines {MARKERS[0]} and {MARKERS[1]}: add them")
    return f"{before}{first}\n{table()}\n{last}{after}"
