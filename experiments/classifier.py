"""Trains the small classifier that scores images unlike those that Inception was trained on.

    python -m experiments.classifier --dataset=digits [--out=FILE.safetensors]
    python -m experiments.classifier --dataset=fashion_mnist [--path=FOLDER]

The weights are kept in the user's cache folder, where experiments.evaluate finds them. If they are missing,
experiments.evaluate trains the classifier itself. --out writes the weights to a second file. The last line
of the output is the SHA-256 of the weights, which identifies them in the receipt of a score.

Training again on the same machine gives the same bytes. On a machine with a different number of cores the
numbers are rounded differently, so the weights have another SHA-256.
"""

from pathlib import Path

from absl import flags

from experiments.cli import command_line, exits
from experiments.scoring import classifiers
from jaxgan import files, hashing
from jaxgan.errors import SetupError, unknown


def _check(values: flags.FlagValues) -> Path | None:
    if not values.dataset:
        raise SetupError(
            f"no --dataset given: give --dataset=NAME, one of {', '.join(classifiers.DATASETS)}"
        )
    if values.dataset not in classifiers.DATASETS:
        raise unknown("--dataset", values.dataset, classifiers.DATASETS)
    if values.path and not Path(values.path).is_dir():
        raise SetupError(f"--path {values.path} is not a folder: give the one that TFDS keeps datasets in")
    if not values.out:
        return None
    return command_line.out_file("out", values.out, ".safetensors")


def main(argv: list[str]) -> None:
    """Trains the classifier unless its weights are cached, writes them and prints their hash."""
    values = flags.FlagValues()
    datasets = ", ".join(classifiers.DATASETS)
    flags.DEFINE_string("dataset", None, f"Name of the dataset: {datasets}.", flag_values=values)
    flags.DEFINE_string("path", None, "Data folder of TFDS, if not its default.", flag_values=values)
    flags.DEFINE_string("out", None, "Second file to write, .safetensors.", flag_values=values)
    command_line.read_flags(argv, values, __doc__ or "")
    out = _check(values)
    content = classifiers.find_or_make(values.dataset, values.path)
    if out is not None:
        try:
            files.write(out, content)
        except OSError as error:
            raise exits.RunFailed(f"--out {out} cannot be written: {error}") from error
        print(f"wrote {out}")
    print(hashing.sha256_of_bytes(content))


if __name__ == "__main__":
    exits.call(main)
