"""Trains a GAN from a config file.

    python -m experiments.run --config=dcgan_mnist.py [--workdir=DIR] [--config.field=value ...]

Run again, it continues where it stopped; a run that was killed ends in the same bits as one that was not.
"""

import signal
import sys
from pathlib import Path

from absl import flags

from experiments import build, cli, loop, progress, report, training, workdir
from jaxgan import checkpoint, parallel


def main(argv: list[str]) -> None:
    """Config → build → state → step → loop → files."""
    values = flags.FlagValues()
    flags.DEFINE_string(
        "workdir", None, "Where the run's files go; runs/<config> if not given.", flag_values=values
    )
    loaded = cli.read_config(argv, values, __doc__ or "")
    config, directory = loaded.values, Path(values.workdir or f"runs/{loaded.name}")

    build.check_all(config)
    progress.check(build.stage_configs(config)[-1].config)
    workdir.check_owner(directory, config)
    mesh = parallel.device_mesh()
    for stage in build.stage_configs(config):
        # Under pmap each device cuts its own rows into slices.
        pmapped = config.get("parallel", "jit") == "pmap"
        slices = stage.config.get("accumulate", 1) if pmapped else 1
        parallel.check_batch_size(stage.config.batch_size, mesh.size * slices)
    parts = training.parts(config)
    for part in parts:
        if part.source.num_skipped:
            print(f"skipped {part.source.num_skipped} files that cannot be decoded", flush=True)

    directory.mkdir(parents=True, exist_ok=True)
    if not (directory / "config.json").exists():
        workdir.write_json(directory / "config.json", workdir.as_json(config))
    with checkpoint.open_manager(directory / "checkpoints") as manager:
        restored = loop.restore(manager, training.abstract_at(parts))
        start = int(restored.state.step) if restored else 0
        if restored and start >= config.num_steps and (directory / "receipt.json").exists():
            print(f"{directory} is finished: {config.num_steps} steps")
            print(restored.state_sha256)
            return
        if restored:
            print(f"continuing {directory} from step {start}", flush=True)

        def scored(part: training.Part, start: int) -> progress.Progress:
            score = progress.make_score(part.config, part.gan, part.source)
            return progress.Progress(part.config, score, directory, start)

        try:
            receipt = training.train(
                config, parts, directory, manager, restored, mesh, scored if "score" in config else None
            )
        except loop.Stopped as stopped:
            print(f"stopped by {signal.Signals(stopped.signum).name}, checkpoint saved", file=sys.stderr)
            sys.exit(128 + stopped.signum)
    report.write(directory)
    print(f"finished {directory}: {config.num_steps} steps in {receipt['wall_time_seconds']} s")
    print(receipt["state_sha256"])


if __name__ == "__main__":
    cli.call(main)
