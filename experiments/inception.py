"""Converts the public weights of FID's InceptionV3 from PyTorch's format to safetensors, without PyTorch.

    python -m experiments.inception --checkpoint=pt_inception-2015-12-05-6726825d.pth
        --out=inception.safetensors

The checkpoint is a release file of the project pytorch-fid. The project torch-fidelity releases the same
file as weights-inception-2015-12-05-6726825d.pth. Its SHA-256 is checked, and no code in it is run.
"""

from pathlib import Path

from absl import flags

from experiments.cli import command_line, exits
from experiments.scoring import torch_file
from jaxgan import hashing
from jaxgan.errors import SetupError
from jaxgan.metrics import inception_backbone


def convert(checkpoint: Path, out: Path, *, sha256: str = inception_backbone.PUBLIC_SHA256) -> None:
    """Writes the tensors of a checkpoint as safetensors. A failure leaves no partial file.

    Args:
      checkpoint: File that ``torch.save`` wrote of the network's state dict.
      out: File to write.
      sha256: Required SHA-256 of the checkpoint.

    Raises:
      SetupError: The checkpoint has another SHA-256 or does not hold the state dict of this network.
    """
    content = checkpoint.read_bytes()
    found = hashing.sha256_of_bytes(content)
    if found != sha256:
        raise SetupError(
            f"--checkpoint {checkpoint} has the SHA-256 {found}, not {sha256}:"
            " give pt_inception-2015-12-05-6726825d.pth, downloaded whole"
        )
    inception_backbone.save(
        out, torch_file.state_dict(content, f"--checkpoint {checkpoint}"), source_sha256=found
    )


def main(argv: list[str]) -> None:
    """Checks and converts the checkpoint."""
    values = flags.FlagValues()
    flags.DEFINE_string("checkpoint", None, "Public checkpoint, a .pth file.", flag_values=values)
    flags.DEFINE_string("out", "inception.safetensors", "File to write, .safetensors.", flag_values=values)
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
