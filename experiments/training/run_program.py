"""Training of a run: its stages, its training program, and the files that it writes."""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments.cli import interrupts
from experiments.training import build, derived, loop, progress_bar, staging, workdir
from jaxgan import checkpoint, data, parallel
from jaxgan.stages import CARRIES, Stage, stage_of
from jaxgan.state import GANState
from jaxgan.steps import GAN, WATCHED, train_step, with_conditions

# draw(state, step) -> (height, width, 3) uint8 picture of samples from a state.
Draw = Callable[[GANState, int], np.ndarray]
# score(step, state, info) -> scores by name. ``info`` has the values that a checkpoint records besides the
# state.
Score = Callable[[int, GANState, dict[str, Any]], dict[str, float]]


class Part(NamedTuple):
    """A stage of a run, built, with its data open.

    Attributes:
      until: Last step of the stage.
      config: Config of the stage.
      gan: System of the stage.
      source: Open data of the stage.
      carry: Name of the function that carries the state over from the previous stage; empty for the first.
    """

    until: int
    config: ConfigDict
    gan: GAN
    source: data.Source
    carry: str


def parts(config: ConfigDict) -> list[Part]:
    """Builds the systems of all stages of a run, and then opens their data.

    Args:
      config: Validated config of the run.

    Raises:
      SetupError: A system cannot be built, or data cannot be opened.
    """
    stages = staging.stage_configs(config)
    gans = [build.build(stage.config) for stage in stages]
    build.check_carries(stages, gans)
    return [
        Part(stage.until, stage.config, gan, open_source(stage.config), stage.carry)
        for stage, gan in zip(stages, gans, strict=True)
    ]


def open_source(config: ConfigDict) -> data.Source:
    """Opens the data of a config."""
    return data.open_source(**{**config.data, "seed": derived.data_seed(config)})


def check_finite(step: int, metrics: Mapping[str, Any]) -> None:
    """Raises NotFiniteError if a player's loss or gradient is not finite."""
    for name in WATCHED:
        if name in metrics and not math.isfinite(metrics[name]):
            player, _, kind = name.partition("_")
            kind = "loss" if kind == "loss" else "gradient"
            raise loop.NotFiniteError(f"step {step}: the {player}'s {kind} is {float(metrics[name])}")


def make_step(
    gan: GAN, source: data.Source, config: ConfigDict, mesh: jax.sharding.Mesh
) -> Callable[..., Any]:
    """Returns the compiled training step, which prepares raw batches inside the program.

    Args:
      gan: The system.
      source: Open data, from which the batches come.
      config: Config of the stage.
      mesh: Devices to train on.

    Returns:
      ``step(state, raw_batch) -> (state, metrics)``.
    """
    ema_decay = derived.ema_decay(config)

    def step(state: GANState, batch: Mapping[str, jax.Array]) -> tuple[GANState, dict[str, jax.Array]]:
        return train_step(
            state,
            with_conditions(source.prepare(batch), state, source.conditions),
            gan=gan,
            ema_decay=ema_decay,
            n_critic=config.n_critic,
            accumulate=config.get("accumulate", 1),
        )

    if config.get("parallel", "jit") == "pmap":
        return parallel.pmap_step(step)
    return parallel.jit_step(step, mesh)


@contextmanager
def event_writer(directory: Path) -> Iterator[Callable[[], Any]]:
    """Loads TensorBoard's writer in a background thread.

    Args:
      directory: Folder of the event files.

    Yields:
      A function that waits until the writer is loaded and returns it.
    """

    def load() -> Any:
        # The import of TensorFlow is slow, and the main thread compiles the step in the meantime.
        from clu import metric_writers

        return metric_writers.SummaryWriter(str(directory))

    with ThreadPoolExecutor(1) as pool:
        loaded = pool.submit(load)
        try:
            yield loaded.result
        finally:
            if loaded.exception() is None:
                loaded.result().close()


def abstract_at(run: list[Part]) -> Callable[[int], GANState]:
    """Returns a function from a step to the shapes of the state in its checkpoint.

    Args:
      run: Stages of the run.
    """
    untils = [part.until for part in run]

    def at(step: int) -> GANState:
        part = run[stage_of(untils, min(step, untils[-1]))]
        return jax.eval_shape(build.initializer(part.config, part.gan))

    return at


def _compile_stage(part: Part, mesh: jax.sharding.Mesh) -> Stage:
    config, source = part.config, part.source
    stream = derived.batch_stream(config, source)
    pmapped = config.get("parallel", "jit") == "pmap"

    def batches(start: int, stop: int) -> Iterator[Any]:
        for batch in data.iterate(stream, start, stop):
            yield (
                parallel.split_for_pmap(batch, mesh.size) if pmapped else parallel.shard_batch(batch, mesh)
            )

    carry = CARRIES[part.carry] if part.carry else None
    init = jax.jit(build.first_state(config, part.gan, source))
    return Stage(part.until, init, carry, make_step(part.gan, source, config, mesh), batches)


def train(
    config: ConfigDict,
    run: list[Part],
    directory: Path,
    manager: checkpoint.Manager,
    restored: checkpoint.Restored | None,
    mesh: jax.sharding.Mesh,
    *,
    painter: Callable[[Part], Draw],
    scorer: Callable[[Part, int], Score] | None = None,
) -> dict[str, Any]:
    """Trains a run to its last step.

    Args:
      config: Config of the run.
      run: Stages of the run, in order.
      directory: Work directory of the run.
      manager: Manager of its checkpoints.
      restored: Checkpoint to continue from; None for a new run.
      mesh: Devices to train on.
      painter: Function from a stage to the function that draws its samples.
      scorer: Function from the last stage and the step that training starts from to the function that
        scores the run while it trains; None if the config has no section ``score``.

    Returns:
      The receipt, which is also written to ``receipt.json``.

    Raises:
      RunFailed: Training cannot continue. The message names the step and the last good checkpoint.
      Stopped: A signal was received, and the state has been saved.
    """
    pmapped = config.get("parallel", "jit") == "pmap"

    def place(state: GANState) -> GANState:
        return parallel.copy_for_pmap(state, mesh.size) if pmapped else parallel.replicate(state, mesh)

    def first_replica(state: GANState) -> GANState:
        return jax.tree.map(lambda x: x[0], state) if pmapped else state

    def info(seconds: float) -> dict[str, Any]:
        return {"config": workdir.as_json(config), "wall_time": seconds, "timed": list(report.timed)}

    stages = [_compile_stage(part, mesh) for part in run]
    untils = [stage.until for stage in stages]
    start = int(restored.state.step) if restored else 0
    seconds = restored.info["wall_time"] if restored else 0.0
    began = time.monotonic() - seconds
    state = place(restored.state if restored else stages[0].init())
    drawers: dict[int, Draw] = {}

    def drawer(number: int) -> Draw:
        if number not in drawers:
            drawers[number] = painter(run[number])
        return drawers[number]

    # The first drawer is made here, so that its programs are compiled before the first step.
    drawer(stage_of(untils, min(start + 1, untils[-1])))

    def draw(step: int, state: GANState) -> np.ndarray:
        image = drawer(stage_of(untils, step))(first_replica(state), step)
        workdir.write_png(directory / "samples" / f"{step}.png", image)
        return image

    unit = "images" if run[0].source.spec.images else "points"
    timed = progress_bar.Timed(*(restored.info if restored else {}).get("timed", (0, 0.0)))
    report = progress_bar.ProgressBar(start, config, unit, timed)
    metrics_path = directory / "metrics.jsonl"
    workdir.trim_metrics(metrics_path, start)
    with ExitStack() as stack:
        stack.callback(report.close)
        signals = stack.enter_context(interrupts.catch_signals())
        metrics_file = stack.enter_context(metrics_path.open("a"))
        score_of = scorer(run[-1], start) if scorer else None
        if start == 0:
            draw(0, state)
        # The writer starts after the picture: drawing may load matplotlib, and so may TensorFlow in the
        # writer's thread, but two threads must not load matplotlib at once.
        writer = stack.enter_context(event_writer(directory / "tensorboard"))

        def log(step: int, state: GANState, metrics: Mapping[str, Any]) -> None:
            values = {name: float(np.ravel(value)[0]) for name, value in metrics.items()}
            events = writer()  # The wait for the writer comes before the first timed step.
            speed = report(step, values)
            metrics_file.write(json.dumps({"step": step, **values}) + "\n")
            metrics_file.flush()
            events.write_scalars(step, {**values, "samples_per_second": speed})

        def paint(step: int, state: GANState, metrics: Mapping[str, Any]) -> None:
            events = writer()
            events.write_images(step, {"samples": draw(step, state)[None]})

        def score(step: int, state: GANState, metrics: Mapping[str, Any]) -> None:
            # Only the last stage is scored, because scores of different stages are not comparable.
            if score_of and stage_of(untils, step) == len(untils) - 1:
                values = score_of(step, first_replica(state), info(time.monotonic() - began))
                writer().write_scalars(step, values)

        def check(step: int, metrics: Mapping[str, Any]) -> None:
            check_finite(step, {name: np.ravel(value)[0] for name, value in metrics.items()})

        events = [
            loop.Event(lambda step: step % config.log_every == 0, log),
            loop.Event(lambda step: step % config.sample_every == 0, paint),
        ]
        if score_of:
            events.append(loop.Event(lambda step: step % config.score.every == 0, score))
        program = loop.Program(
            stages,
            place,
            lambda step, state: first_replica(state),
            check,
            events,
            config.checkpoint_every,
            info,
        )
        advice = "try a lower learning rate or another loss, in another --workdir"
        trained = loop.train(program, manager, restored, state, signals, seconds=seconds, advice=advice)
    result = workdir.receipt(
        step=untils[-1],
        state_sha256=trained.state_sha256,
        config=config,
        wall_time=trained.seconds,
        timed=report.timed,
        examples=run[-1].source.num_examples,
        skipped=run[-1].source.num_skipped,
    )
    workdir.write_json(directory / "receipt.json", result)
    return result
