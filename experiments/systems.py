"""Lists the configs of the systems: what each trains and its time on two cores.

    python -m experiments.systems
    python -m experiments.systems --write=README.md

The table is made from the docstrings of the configs. --write replaces the table between two markers of a
Markdown file.
"""

from absl import flags

from experiments.cli import command_line, exits
from experiments.cli.config_table import insert, table
from jaxgan import files
from jaxgan.errors import SetupError


def main(argv: list[str]) -> None:
    """Prints the table, or writes it into a file."""
    values = flags.FlagValues()
    flags.DEFINE_string("write", None, "Markdown file whose table is replaced.", flag_values=values)
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
