"""Tests of the emoji dataset, with small packages and with the real ones."""

import csv
import io
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.cli import exits
from experiments.datasets import emoji
from jaxgan import data
from jaxgan.errors import SetupError
from tests.conftest import component


def archive(path, vendor):
    """Writes an npm package in the layout of the real ones, with two emoji and one skin tone."""
    clear = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    clear.putpixel((32, 32), (255, 0, 0, 255))
    png = io.BytesIO()
    clear.save(png, "PNG")
    has = {f"has_img_{vendor}": True}
    entries = [
        {
            "name": "CAT FACE",
            "short_name": "cat",
            "category": "Animals & Nature",
            "image": "cat.png",
            **has,
        },
        {
            "name": "WAVING HAND",
            "category": "People & Body",
            "image": "wave.png",
            **has,
            "skin_variations": {"1F3FD": {"image": "wave-tone.png", **has}},
        },
        {"name": "ABSENT", "category": "Flags", "image": "absent.png"},
    ]
    files = {"emoji.json": json.dumps(entries).encode()}
    files |= {
        f"img/{vendor}/64/{name}.png": png.getvalue() for name in ("cat", "wave", "wave-tone", "absent")
    }
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def check(out, expected):
    """Checks the pictures and captions of a folder and returns its captions by file and its source."""
    rows = list(csv.DictReader((out / "metadata.csv").open(encoding="utf-8")))
    assert len(rows) == expected(len(rows))
    for row in rows[:: max(1, len(rows) // 50)]:
        with Image.open(out / row["file_name"]) as image:
            assert (image.size, image.mode) == ((64, 64), "RGB")
            assert row["caption"] == row["caption"].lower().strip()
    source = data.open_source("folder", path=str(out), size=64, channels=3)
    assert source.num_examples == len(rows)
    # The examples of a folder are sorted by path.
    assert source.captions == tuple(
        row["caption"] for row in sorted(rows, key=lambda r: Path(r["file_name"]))
    )
    assert source.spec.attributes == ()
    return {row["file_name"]: row["caption"] for row in rows}, source


def test_packages_become_an_image_folder(tmp_path, monkeypatch):
    def fetch(folder):
        for vendor in emoji.VENDORS:
            archive(folder / f"{vendor}.tgz", vendor)
        return {vendor: folder / f"{vendor}.tgz" for vendor in emoji.VENDORS}

    monkeypatch.setattr(emoji, "fetch", fetch)
    out = tmp_path / "deep" / "emoji"
    emoji.main(["emoji", f"--out={out}"])
    captions, _ = check(out, lambda n: 6)
    assert captions["google/animals-and-nature/cat.png"] == "cat face"
    assert captions["twitter/people-and-body/wave-tone.png"] == "waving hand, medium skin tone"
    pixels = np.asarray(Image.open(out / "google/animals-and-nature/cat.png"))
    assert (pixels[0, 0] == 255).all()  # the background is white
    assert tuple(pixels[32, 32]) == (255, 0, 0)
    assert [path.name for path in out.parent.iterdir()] == ["emoji"]  # no temporary files are left


def test_mistakes_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["emoji", f"--out={tmp_path}"])
    with pytest.raises(SystemExit) as exit_:
        exits.call(emoji.main)
    assert exit_.value.code == 2
    assert "exists already" in capsys.readouterr().err
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr("sys.argv", ["emoji", f"--out={tmp_path}/new"])
    with pytest.raises(SystemExit) as exit_:
        exits.call(emoji.main)
    assert exit_.value.code == 2
    assert "npm is not installed" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.component
def test_the_real_packages(tmp_path):
    component(shutil.which("npm") is not None, "npm", "install Node.js")
    out = tmp_path / "emoji"
    try:
        emoji.main(["emoji", f"--out={out}"])
    except SetupError as error:
        component(False, "the npm registry", str(error))
    captions, source = check(out, lambda n: n)
    assert len(captions) > 7000
    assert captions["google/smileys-and-emotion/1f600.png"] == "grinning face"
    labels = source.batches(seed=0, n_critic=1, batch_size=len(captions))[0]["labels"]
    assert len(np.unique(labels)) == 20  # ten categories for each of two vendors
