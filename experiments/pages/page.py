"""Self-contained HTML pages, rendered from templates.

A page is one file that needs no network: pictures and plots are embedded in the page. Modules such as
:mod:`experiments.pages.run_page` compute plain data, which the templates in ``templates/`` lay out. Text is
escaped by the templates.
"""

import base64
import functools
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxgan import files

if TYPE_CHECKING:
    import jinja2

TEMPLATES = Path(__file__).parent / "templates"
MAX_COLUMNS = 3  # panels side by side in one plot


class Plot(NamedTuple):
    """A plot to embed in a page.

    Attributes:
      svg: SVG text, marked as safe HTML.
      caption: Text below the plot.
    """

    svg: str
    caption: str


class Entry(NamedTuple):
    """A cell of a table.

    Attributes:
      text: Formatted value.
      notes: Small lines below the value.
      best: Whether the value is shown in bold as the best of its column.
    """

    text: str
    notes: Sequence[str] = ()
    best: bool = False


class Row(NamedTuple):
    """A row of a table.

    Attributes:
      label: Text of the first cell.
      entries: The other cells.
      reference: Whether the row is set apart because the other rows are compared with it.
    """

    label: str
    entries: Sequence[Entry]
    reference: bool = False


class Table(NamedTuple):
    """A table of a page.

    Attributes:
      head: Column names.
      rows: Rows, with one cell per column name.
    """

    head: Sequence[str]
    rows: Sequence[Row]


def row(label: str, *texts: str) -> Row:
    """Returns a table row of plain texts."""
    return Row(label, [Entry(text) for text in texts])


def figure(width: float, height: float) -> Any:
    """Returns an empty matplotlib figure for SVG output, with its size in inches."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.hashsalt"] = "jaxgan"  # the same data always gives the same SVG text
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    return figure


def panels(count: int) -> tuple[Any, list[Any]]:
    """Returns a figure and the axes of its ``count`` panels, at most ``MAX_COLUMNS`` in a line."""
    columns = min(MAX_COLUMNS, count)
    lines = -(-count // columns)
    drawing = figure(4.4 * columns, 3.1 * lines)
    axes = list(drawing.subplots(lines, columns, squeeze=False).ravel())
    for unused in axes[count:]:
        unused.set_visible(False)
    return drawing, axes[:count]


def svg(figure: Any, caption: str) -> Plot:
    """Renders a matplotlib figure as SVG."""
    from markupsafe import Markup

    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    # This is the only text that the templates do not escape. Matplotlib escapes the labels within it.
    return Plot(Markup(text[text.index("<svg") :]), caption)


def picture(pixels: np.ndarray) -> str:
    """Returns a data URL of a PNG of the given uint8 pixels."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return address(file.getvalue())


def address(png: bytes) -> str:
    """Returns a data URL that embeds a PNG in a page."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


@functools.cache
def _environment() -> "jinja2.Environment":
    import jinja2  # imported here because a run needs it only at its end

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render(template: str, **context: Any) -> str:
    """Renders a template.

    Args:
      template: Name of a file in ``templates/``.
      **context: Values that the template lays out. Every page needs a ``title``.

    Returns:
      The HTML text of the page.
    """
    return _environment().get_template(template).render(**context)


def write(path: Path, template: str, **context: Any) -> None:
    """Renders a template and writes the page; a failure leaves no partial file.

    Args:
      path: Path of the file to write.
      template: As in :func:`render`.
      **context: As in :func:`render`.

    Raises:
      OSError: The file cannot be written.
    """
    files.write(path, render(template, **context).encode())
