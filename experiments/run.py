"""Trains a GAN from a config file.

    python -m experiments.run --config=dcgan_mnist.py [--workdir=DIR] [--config.field=value ...]

Run again, it continues where it stopped; a run that was killed ends in the same bits as one that was not.
"""

import signal
import sys
from pathlib import Path

import jax
from absl import flags

from experiments import build, cli, loop, progress, report, workdir
from jaxgan import checkpoint, data, parallel


def main(argv: list[str]) -> None:
    """Config → build → state → step → loop → files."""
    values = flags.FlagValues()
    flags.DEFINE_string(
        "workdir", None, "Where the run's files go; runs/<config> if not given.", flag_values=values
    )
    loaded = cli.read_config(argv, values, __doc__ or "")
    config, directory = loaded.values, Path(values.workdir or f"runs/{loaded.name}")

    build.check(config)
    progress.check(config)
    workdir.check_owner(directory, config)
    mesh = parallel.device_mesh()
    parallel.check_batch_size(config.batch_size, mesh.size)
    gan = build.build(config)
    source = data.open_source(**{**config.data, "seed": build.data_seed(config)})
    if source.num_skipped:
        print(f"skipped {source.num_skipped} files that cannot be decoded", flush=True)

    init = build.initializer(config, gan)
    directory.mkdir(parents=True, exist_ok=True)
    if not (directory / "config.json").exists():
        workdir.write_json(directory / "config.json", workdir.as_json(config))
    with checkpoint.open_manager(directory / "checkpoints") as manager:
        restored, damaged = checkpoint.restore(manager, jax.eval_shape(init))
        for item in damaged:
            path = checkpoint.set_aside(manager, item)
            print(
                f"checkpoint {item.path} is damaged ({item.reason}): skipped, kept as {path.name}",
                flush=True,
            )
        if (
            restored
            and int(restored.state.step) >= config.num_steps
            and (directory / "receipt.json").exists()
        ):
            print(f"{directory} is finished: {config.num_steps} steps")
            print(restored.state_sha256)
            return
        if restored:
            print(f"continuing {directory} from step {int(restored.state.step)}", flush=True)
        state = parallel.replicate(restored.state if restored else init(), mesh)
        try:
            scored = None
            if "score" in config:
                score = progress.make_score(config, gan, source)
                scored = progress.Progress(config, score, directory, int(state.step))
            receipt = loop.train(config, gan, source, directory, manager, restored, state, mesh, scored)
        except loop.Stopped as stopped:
            print(f"stopped by {signal.Signals(stopped.signum).name}, checkpoint saved", file=sys.stderr)
            sys.exit(128 + stopped.signum)
    report.write(directory)
    print(f"finished {directory}: {config.num_steps} steps in {receipt['wall_time_seconds']} s")
    print(receipt["state_sha256"])


if __name__ == "__main__":
    cli.call(main)
