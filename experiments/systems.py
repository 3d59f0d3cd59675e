"""Lists the systems by their configs: what each draws, its time on two cores, the command that trains it.

    python -m experiments.systems
    python -m experiments.systems --write=README.md

The table is made of the configs' docstrings. ``--write`` puts it between two markers of a Markdown file.
"""

import ast
import re

from absl import flags

from experiments.cli import command_line, config_files, exits
from jaxgan import files
from jaxgan.errors import SetupError

MARKERS = ("<!-- systems -->", "<!-- end of systems -->")


def describe(name: str) -> tuple[str, str]:
    """Returns a config's first line, without its full stop, and its time on two cores.

    Args:
      name: of a config that comes with the project.
    """
    text = ast.get_docstring(ast.parse(config_files.resolve(name)[0].read_text())) or ""
    first = " ".join(text.partition("\n\n")[0].split()).rstrip(".")
    flat = " ".join(text.split())
    time = re.search(r"takes (?:about )?(\d[\w .]*?) on 2 cores", flat)
    return first, "for accelerators" if "for a GPU or TPU" in flat or not time else time[1]


def table() -> str:
    """Returns the table of all configs, in Markdown."""
    lines = ["| config | what it trains | time on 2 cores |", "| --- | --- | --- |"]
    for name in config_files.list_configs():
        first, time = describe(name)
        lines.append(f"| `{name}` | {first} | {time} |")
    return "\n".join(lines)


def insert(text: str) -> str:
    """Returns a Markdown text with the table between its markers.

    Raises:
      SetupError: the text has no markers.
    """
    before, first, rest = text.partition(MARKERS[0])
    _, last, after = rest.partition(MARKERS[1])
    if not first or not last:
        raise SetupError(f"--write: the file lacks the lines {MARKERS[0]} and {MARKERS[1]}: add them")
    return f"{before}{first}\n{table()}\n{last}{after}"


def main(argv: list[str]) -> None:
    """Configs → table."""
    values = flags.FlagValues()
    flags.DEFINE_string("write", None, "A Markdown file to put the table into.", flag_values=values)
    command_line.read_flags(argv, values, __doc__ or "")
    if not values.write:
        print(table())
        return
    path = command_line.out_file("write", values.write, ".md")
    if not path.is_file():
        raise SetupError(f"--write {path}: there is no such file")
    files.write(path, insert(path.read_text()).encode())
    print(f"wrote {path}")


if __name__ == "__main__":
    exits.call(main)
