"""Pages that are one file each and need no network, for the screen and for paper."""

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxgan import files

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #111; background: #fff; max-width: 75rem;
       margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-top: 2.2rem; border-bottom: 2px solid #111; }
table { border-collapse: collapse; margin: .8rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .8rem; text-align: right; border-bottom: 1px solid #999; vertical-align: top; }
th:first-child, td:first-child { text-align: left; } thead th { border-bottom: 2px solid #111; }
td small { color: #333; display: block; font-weight: 400; } td.best { font-weight: 700; }
tr.floor td { color: #333; font-style: italic; }
figure { margin: 1rem 0; } figure img, figure svg { max-width: 100%; height: auto; }
figcaption { color: #333; } pre { background: #f2f2f2; padding: .6rem; white-space: pre-wrap; }
.panels { display: grid; gap: 3px 6px; align-items: center; }
.panels img { width: 100%; image-rendering: pixelated; border: 1px solid #888; }
.panels div { font-size: .85rem; } .panels .head { text-align: center; color: #333; }
@media print { body { max-width: none; margin: 0; font-size: 11px; }
  h2, h3, h2 + p { break-after: avoid; } p, figure, tr, .panels { break-inside: avoid; } }
"""


def table(head: Sequence[str], body: Sequence[str]) -> str:
    """A table of column names and of rows, which are HTML."""
    cells = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def figure(width: float, height: float) -> Any:
    """An empty matplotlib figure of so many inches, to be drawn as SVG."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.hashsalt"] = "jaxgan"  # the same page from the same files
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    return figure


def svg(figure: Any, caption: str) -> str:
    """A figure with its caption, as part of a page."""
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    return f"<figure>{text[text.index('<svg') :]}<figcaption>{html.escape(caption)}</figcaption></figure>"


def picture(pixels: np.ndarray) -> str:
    """A picture as the address of an image, a PNG of its own."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return address(file.getvalue())


def address(png: bytes) -> str:
    """The address of an image whose bytes stand in the page itself."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def write(path: Path, title: str, parts: Sequence[str]) -> None:
    """Writes a page of parts, which are HTML, whole or not at all."""
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )
    files.write(path, text.encode())
