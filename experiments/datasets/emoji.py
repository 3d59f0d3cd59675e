"""Makes a folder of 64×64 colour pictures with captions from the emoji of two vendors.

    python -m experiments.datasets.emoji [--out=data/emoji]

The pictures come from the npm packages emoji-datasource-google and emoji-datasource-twitter, which are
fetched with npm pack. They are composed on white and written to OUT/VENDOR/CATEGORY/CODE-POINTS.png. The
file OUT/metadata.csv lists them with their captions, in the columns file_name and caption.
"""

import csv
import io
import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from absl import flags
from PIL import Image

from experiments.cli import command_line, exits
from jaxgan.errors import SetupError

VENDORS = ("google", "twitter")
VERSION = "16.0.0"
TONES = {
    "1F3FB": "light skin tone",
    "1F3FC": "medium-light skin tone",
    "1F3FD": "medium skin tone",
    "1F3FE": "medium-dark skin tone",
    "1F3FF": "dark skin tone",
}


def fetch(folder: Path) -> dict[str, Path]:
    """Fetches both packages and returns the paths of their archives by vendor.

    Args:
      folder: Folder that receives the archives.

    Raises:
      SetupError: npm is not installed, or it cannot fetch the packages.
    """
    if shutil.which("npm") is None:
        raise SetupError("npm is not installed: install Node.js, which brings it")
    packages = [f"emoji-datasource-{vendor}@{VERSION}" for vendor in VENDORS]
    result = subprocess.run(
        ["npm", "pack", "--silent", *packages], cwd=folder, capture_output=True, text=True, check=False
    )
    archives = {vendor: folder / f"emoji-datasource-{vendor}-{VERSION}.tgz" for vendor in VENDORS}
    if result.returncode or not all(path.is_file() for path in archives.values()):
        reason = " ".join(result.stderr.split())[:200] or f"status {result.returncode}"
        raise SetupError(f"npm pack {' '.join(packages)} failed ({reason}): check the network connection")
    return archives


def captions(entries: list[dict[str, Any]], vendor: str) -> Iterator[tuple[str, str, str]]:
    """Yields the picture, category and caption of every emoji of a vendor, including skin tones.

    Args:
      entries: Entries of the package's ``emoji.json``.
      vendor: Name of the vendor.
    """
    for entry in entries:
        variants = [((), entry), *((k.split("-"), v) for k, v in entry.get("skin_variations", {}).items())]
        for tones, variant in variants:
            if variant.get(f"has_img_{vendor}"):
                name = (entry["name"] or entry["short_name"]).lower()
                caption = ", ".join([name, *(TONES[tone] for tone in tones)])
                yield variant["image"], entry["category"].lower().replace(" & ", "-and-"), caption


def unpack(archive: Path, vendor: str, out: Path) -> list[tuple[str, str]]:
    """Writes the pictures of a vendor, composed on white, below a folder.

    Args:
      archive: Archive of the npm package.
      vendor: Name of the vendor.
      out: Folder to write to.

    Returns:
      The file name relative to ``out`` and the caption of each picture.
    """
    prefix = f"package/img/{vendor}/64/"
    content: dict[str, bytes] = {}
    with tarfile.open(archive) as tar:
        for member in tar:  # in the order of the archive, because seeking back would decompress it again
            if member.name == "package/emoji.json" or member.name.startswith(prefix):
                file = tar.extractfile(member)
                content[member.name] = file.read() if file else b""
    rows = []
    for image, category, caption in captions(json.loads(content["package/emoji.json"]), vendor):
        if prefix + image not in content:
            continue
        picture = Image.open(io.BytesIO(content[prefix + image])).convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
        name = f"{vendor}/{category}/{Path(image).name}"
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        picture.convert("RGB").save(out / name, compress_level=1)
        rows.append((name, caption))
    return rows


def main(argv: list[str]) -> None:
    """Fetches, composes and writes the pictures. The folder appears once it is complete."""
    values = flags.FlagValues()
    flags.DEFINE_string("out", "data/emoji", "Folder to write, which must not exist.", flag_values=values)
    command_line.read_flags(argv, values, __doc__ or "")
    out = Path(values.out)
    if out.exists():
        raise SetupError(f"--out {out} exists already: remove it, or give another folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as temporary:
        partial = Path(temporary) / "emoji"
        partial.mkdir()
        rows = []
        for vendor, archive in fetch(Path(temporary)).items():
            rows += unpack(archive, vendor, partial)
        with (partial / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("file_name", "caption"), *rows])
        partial.rename(out)
    print(f"wrote {len(rows)} pictures of 64×64 to {out}")


if __name__ == "__main__":
    exits.call(main)
