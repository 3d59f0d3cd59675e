"""Trains a GAN from a config file.

    python -m experiments.run --config=dcgan_mnist.py [--workdir=DIR] [--config.field=value ...]

Run again, it continues where it stopped; a run that was killed ends in the same bits as one that was not.
"""

import signal
import sys
from contextlib import ExitStack
from pathlib import Path

from absl import flags

from experiments.cli import config_files, exits, interrupts
from experiments.pages import run_page, sample_pictures
from experiments.scoring import tracking
from experiments.training import checks, loop, run_program, staging, workdir
from jaxgan import checkpoint, parallel


def main(argv: list[str]) -> None:
    """Config → build → state → step → loop → files."""
    values = flags.FlagValues()
    flags.DEFINE_string(
        "workdir", None, "Where the run's files go; runs/<config> if not given.", flag_values=values
    )
    loaded = config_files.read_config(argv, values, __doc__ or "")
    config, directory = loaded.values, Path(values.workdir or f"runs/{loaded.name}")

    checks.check_all(config)
    tracking.check(staging.stage_configs(config)[-1].config)
    workdir.check_owner(directory, config)
    mesh = parallel.device_mesh()
    for stage in staging.stage_configs(config):
        # Under pmap each device cuts its own rows into slices.
        pmapped = config.get("parallel", "jit") == "pmap"
        slices = stage.config.get("accumulate", 1) if pmapped else 1
        parallel.check_batch_size(stage.config.batch_size, mesh.size * slices)
    parts = run_program.parts(config)
    for part in parts:
        if part.source.num_skipped:
            print(f"skipped {part.source.num_skipped} files that cannot be decoded", flush=True)

    directory.mkdir(parents=True, exist_ok=True)
    if not (directory / "config.json").exists():
        workdir.write_json(directory / "config.json", workdir.as_json(config))
    with checkpoint.open_manager(directory / "checkpoints") as manager, ExitStack() as stack:
        restored = loop.restore(manager, run_program.abstract_at(parts))
        start = int(restored.state.step) if restored else 0
        if restored and start >= config.num_steps and (directory / "receipt.json").exists():
            print(f"{directory} is finished: {config.num_steps} steps")
            print(restored.state_sha256)
            return
        if restored:
            print(f"continuing {directory} from step {start}", flush=True)

        def scorer(part: run_program.Part, start: int) -> run_program.Score:
            score = tracking.make_score(part.config, part.gan, part.source)
            progress = tracking.Progress(part.config, score, directory, start)
            stack.callback(progress.close)
            return progress

        def painter(part: run_program.Part) -> run_program.Draw:
            return sample_pictures.make_sample(part.gan, part.source, part.config)

        try:
            receipt = run_program.train(
                config,
                parts,
                directory,
                manager,
                restored,
                mesh,
                painter=painter,
                scorer=scorer if "score" in config else None,
            )
        except interrupts.Stopped as stopped:
            print(f"stopped by {signal.Signals(stopped.signum).name}, checkpoint saved", file=sys.stderr)
            sys.exit(128 + stopped.signum)
    run_page.write(directory)
    print(f"finished {directory}: {config.num_steps} steps in {receipt['wall_time_seconds']} s")
    print(receipt["state_sha256"])


if __name__ == "__main__":
    exits.call(main)
