"""Captions and attributes of pictures, read from a file ``metadata.csv`` in the same folder."""

import csv
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from jaxgan.errors import SetupError

NAME = "metadata.csv"
FILE_COLUMNS = ("file_name", "filename", "file", "image_id", "image")
CAPTION_COLUMNS = ("caption", "text")


class Metadata(NamedTuple):
    """The metadata of N pictures.

    Attributes:
      captions: N texts, empty for pictures without a text; None if the file has no column of texts.
      attributes: Columns of numbers, of shape (N, K), float32; K may be 0.
      names: Names of the K columns.
    """

    captions: tuple[str, ...] | None
    attributes: np.ndarray
    names: tuple[str, ...]


def _read(path: Path) -> tuple[list[str], list[list[str]]]:
    """Returns the header and the rows of a CSV file, which all have the same length."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = [row for row in csv.reader(file, strict=True) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SetupError(
            f"{path} cannot be read as a CSV file in UTF-8: {error}; mend or remove it"
        ) from error
    if not table:
        raise SetupError(f"{path} is empty: give it a header and a row for each picture, or remove it")
    header, rows = [name.strip() for name in table[0]], table[1:]
    if len(set(header)) < len(header):
        raise SetupError(f"{path} has two columns of one name among {', '.join(header)}: rename one")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise SetupError(
                f"{path} has {len(row)} cells in row {number} and {len(header)} columns: give one for each"
            )
    return header, rows


def _numbers(cells: Sequence[str]) -> np.ndarray | None:
    """Converts cells to finite float32 numbers; None if there are no cells or one is not such a number."""
    try:
        numbers = np.array([float(cell) for cell in cells])
    except ValueError:
        return None
    finite = np.abs(numbers) <= np.finfo(np.float32).max
    return numbers.astype(np.float32) if cells and finite.all() else None


def _caption(cells: dict[str, str]) -> str:
    for name in CAPTION_COLUMNS:
        if name in cells:
            return cells[name]
    return ", ".join(cell for cell in cells.values() if cell)


def read(path: Path, names: Sequence[str]) -> Metadata:
    """Reads the metadata of pictures from a CSV file with a header.

    The paths of the pictures, relative to the folder of the file, are in the column ``file_name``,
    ``filename``, ``file``, ``image_id`` or ``image``; the first of these that exists is taken. Another
    column is an attribute if it holds a finite number in every row, and a text otherwise. The caption of a
    picture is its text in the column ``caption`` or ``text``. If neither column exists, the caption joins
    all texts of the picture with commas.

    Args:
      path: Path of the CSV file.
      names: Paths of the N pictures, relative to the folder of the file, with forward slashes. The file may
        have rows for other pictures.

    Returns:
      The metadata of these pictures, in the order of ``names``.

    Raises:
      SetupError: The file is not such a table, two rows belong to the same picture, or there are attributes
        and a picture has no row.
    """
    header, rows = _read(path)
    column = next((header.index(name) for name in FILE_COLUMNS if name in header), None)
    if column is None:
        raise SetupError(
            f"{path} has no column of file names among {', '.join(header)}: name one {FILE_COLUMNS[0]}"
        )
    where: dict[str, int] = {}
    for index, row in enumerate(rows):
        name = str(PurePosixPath(row[column].strip()))
        if where.setdefault(name, index) != index:
            raise SetupError(f"{path} has two rows of the picture {name!r}: remove one")
    columns = {name: [row[i] for row in rows] for i, name in enumerate(header) if i != column}
    numeric = {name: found for name, cells in columns.items() if (found := _numbers(cells)) is not None}
    if numeric and (missing := [name for name in names if name not in where]):
        raise SetupError(
            f"{path} has no row of the picture {missing[0]!r}, to tell its {next(iter(numeric))}: add it"
        )
    order = [where.get(name, -1) for name in names]
    texts = {name: cells for name, cells in columns.items() if name not in numeric}
    captions = tuple(
        _caption({name: cells[index].strip() for name, cells in texts.items()}) if index >= 0 else ""
        for index in order
    )
    attributes = np.zeros((len(names), len(numeric)), np.float32)
    for k, numbers in enumerate(numeric.values()):
        attributes[:, k] = numbers[order]
    return Metadata(captions if texts else None, attributes, tuple(numeric))
