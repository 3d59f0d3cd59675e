"""Trains a GAN from a config file.

    python -m experiments.run --config=dcgan_mnist.py
    python -m experiments.run --config=gan_gaussians.py:sgd --workdir=DIR --config.gan.loss=hinge

A config is given by its path or by its name in experiments/configs. --config.FIELD=VALUE overrides a field.
The work directory receives config.json, checkpoints, pictures of samples, metrics.jsonl, TensorBoard events
and, at the end, receipt.json and report.html. The last line of the output is the hash of the final state.

The same command continues a run that was stopped. A run that was interrupted ends in exactly the same state
as a run that was not.
"""

from contextlib import ExitStack
from pathlib import Path

from absl import flags

from experiments.cli import config_files, exits
from experiments.pages import run_page, sample_pictures
from experiments.scoring import tracking
from experiments.training import checks, loop, run_program, staging, start
from jaxgan import checkpoint, parallel


def main(argv: list[str]) -> None:
    """Trains a run from its newest checkpoint to its last step and writes its page."""
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "Folder of the run; runs/CONFIG by default.", flag_values=values)
    loaded = config_files.read_config(argv, values, __doc__ or "")
    config, directory = loaded.values, Path(values.workdir or f"runs/{loaded.name}")

    checks.check_all(config)
    tracking.check(staging.stage_configs(config)[-1].config)
    mesh = parallel.device_mesh()
    parts = start.open_run(config, directory, mesh)
    with checkpoint.open_manager(directory / "checkpoints") as manager, ExitStack() as stack:
        restored = loop.restore(manager, run_program.abstract_at(parts))
        step = int(restored.state.step) if restored else 0
        if restored and step >= config.num_steps and (directory / "receipt.json").exists():
            print(f"{directory} is finished: {config.num_steps} steps")
            print(restored.state_sha256)
            return
        if restored:
            print(f"continuing {directory} from step {step}", flush=True)

        def scorer(part: run_program.Part, first: int) -> run_program.Score:
            score = tracking.make_score(part.config, part.gan, part.source)
            progress = tracking.Progress(part.config, score, directory, first)
            stack.callback(progress.close)
            return progress

        receipt = run_program.train(
            config,
            parts,
            directory,
            manager,
            restored,
            mesh,
            painter=lambda part: sample_pictures.make_sample(part.gan, part.source, part.config),
            scorer=scorer if "score" in config else None,
        )
    run_page.write(directory)
    print(f"finished {directory}: {config.num_steps} steps in {receipt['wall_time_seconds']} s")
    print(receipt["state_sha256"])


if __name__ == "__main__":
    exits.call(main)
