"""Converts the public weights of FID's InceptionV3 from PyTorch's format to safetensors, without PyTorch.

python -m experiments.inception --checkpoint=pt_inception-2015-12-05-6726825d.pth \
    --out=inception.safetensors

The checkpoint is a release file of the projects pytorch-fid and torch-fidelity (which calls the same bytes
weights-inception-2015-12-05-6726825d.pth). Its SHA-256 is checked; no code in it is run.
"""

import hashlib
from pathlib import Path

from absl import flags

from experiments.cli import command_line, exits
from experiments.scoring import torch_file
from jaxgan.errors import SetupError
from jaxgan.metrics import inception_backbone


def convert(checkpoint: Path, out: Path, *, sha256: str = inception_backbone.PUBLIC_SHA256) -> None:
    """Writes the checkpoint's tensors as safetensors, whole or not at all.

    Args:
      checkpoint: what ``torch.save`` wrote of the network's state dict.
      out: the file to write.
      sha256: that the checkpoint must have.

    Raises:
      SetupError: it has another, or is not this network's state dict.
    """
    content = checkpoint.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise SetupError(
            f"--checkpoint {checkpoint} has the SHA-256 {found}, not {sha256}:"
            " give pt_inception-2015-12-05-6726825d.pth, downloaded whole"
        )
    inception_backbone.save(
        out, torch_file.state_dict(content, f"--checkpoint {checkpoint}"), source_sha256=found
    )


def main(argv: list[str]) -> None:
    """Converts."""
    values = flags.FlagValues()
    flags.DEFINE_string("checkpoint", None, "The public checkpoint, a .pth file.", flag_values=values)
    flags.DEFINE_string("out", "inception.safetensors", "The file to write.", flag_values=values)
    command_line.read_flags(argv, values, __doc__ or "")
    if not values.checkpoint:
        raise SetupError("no --checkpoint given: give --checkpoint=pt_inception-2015-12-05-6726825d.pth")
    checkpoint = Path(values.checkpoint)
    if not checkpoint.is_file():
        raise SetupError(f"--checkpoint {checkpoint}: there is no such file")
    out = command_line.out_file("out", values.out, ".safetensors")
    convert(checkpoint, out)
    print(
        f"wrote {out}: {inception_backbone.NAME}, SHA-256 of its source {inception_backbone.PUBLIC_SHA256}"
    )


if __name__ == "__main__":
    exits.call(main)
