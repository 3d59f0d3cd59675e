"""A run: the program that a config describes, and the files that it leaves."""

import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from experiments import build, loop, pictures, sampling, workdir
from experiments.progress import Progress
from jaxgan import checkpoint, data, minibatch, parallel
from jaxgan.stages import CARRIES, Stage, stage_of
from jaxgan.state import GANState
from jaxgan.steps import GAN, WATCHED, train_step, with_conditions

NUM_IMAGES = 64
NUM_POINTS = 1024
SURFACE = 64  # logits along a side of the square that is drawn
SAMPLE_KEY = 0x5A3D  # folded into the seed's key: the latents of the sample pictures, fixed over a run


class Part(NamedTuple):
    """A stage of a run, built and opened.

    Attributes:
      until: its last step.
      config: its own.
      gan: its system.
      source: its data.
      carry: the name of the function that carries the state over from the stage before.
    """

    until: int
    config: ConfigDict
    gan: GAN
    source: data.Source
    carry: str


def parts(config: ConfigDict) -> list[Part]:
    """Builds all stages of a run by shape, then opens their data."""
    stages = build.stage_configs(config)
    gans = [build.build(stage.config) for stage in stages]
    check_carries(stages, gans)
    return [
        Part(stage.until, stage.config, gan, open_source(stage.config), stage.carry)
        for stage, gan in zip(stages, gans, strict=True)
    ]


def check_carries(stages: list[build.StageConfig], gans: list[GAN]) -> None:
    """Refuses stages whose states cannot be carried over; it looks at shapes alone."""
    shapes = [jax.eval_shape(build.initializer(x.config, gan)) for x, gan in zip(stages, gans, strict=True)]
    for number in range(1, len(stages)):
        jax.eval_shape(CARRIES[stages[number].carry], shapes[number - 1], shapes[number])


def open_source(config: ConfigDict) -> data.Source:
    """Opens a config's data."""
    return data.open_source(**{**config.data, "seed": build.data_seed(config)})


def check_finite(step: int, metrics: Mapping[str, Any]) -> None:
    """Raises NotFiniteError if a player's loss or gradient is not finite."""
    for name in WATCHED:
        if name in metrics and not math.isfinite(metrics[name]):
            player, _, kind = name.partition("_")
            kind = "loss" if kind == "loss" else "gradient"
            raise loop.NotFiniteError(f"step {step}: the {player}'s {kind} is {float(metrics[name])}")


class Report:
    """Tells a person how far a run is: a bar on a terminal, plain lines elsewhere."""

    def __init__(self, start: int, config: ConfigDict, unit: str):
        self._config, self._unit = config, unit
        self._step, self._time = start, time.monotonic()
        self._rate = 0.0
        terminal = sys.stderr.isatty()
        layout = "step {n_fmt}/{total_fmt} |{bar}|{postfix}"
        self._bar = (
            tqdm(total=config.num_steps, initial=start, bar_format=layout, file=sys.stderr)
            if terminal
            else None
        )

    def __call__(self, step: int, metrics: Mapping[str, float]) -> float:
        """Shows a logged step; returns the samples per second since the last one."""
        now = time.monotonic()
        steps = (step - self._step) / max(now - self._time, 1e-9)
        self._step, self._time = step, now
        # The first interval holds the compilation: the estimate starts afresh with the second.
        self._rate = steps if self._rate < steps / 4 else 0.7 * self._rate + 0.3 * steps
        left = (self._config.num_steps - step) / max(self._rate, 1e-9)
        eta = f"{int(left) // 3600}:{int(left) // 60 % 60:02}:{int(left) % 60:02}"
        speed = steps * self._config.batch_size
        losses = "".join(
            f" {name} {metrics[name]:.4g}," for name in ("critic_loss", "generator_loss") if name in metrics
        )
        text = f"{speed:,.0f} {self._unit}/s,{losses} ETA {eta}"
        if self._bar is None:
            print(f"step {step}/{self._config.num_steps}, {text}", flush=True)
        else:
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update(step - self._bar.n)
        return speed

    def close(self) -> None:
        """Leaves the bar as it stands."""
        if self._bar is not None:
            self._bar.close()


def make_step(
    gan: GAN, source: data.Source, config: ConfigDict, mesh: jax.sharding.Mesh
) -> Callable[..., Any]:
    """Compiles the step on raw batches of a source: it prepares them and trains."""
    ema_decay = build.ema_decay(config)

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


def real_points(source: data.Source, config: ConfigDict) -> Any:
    """Returns real points to draw behind generated ones, by field if there are several; None for images."""
    if source.spec.images:
        return None
    batch = source.batches(seed=build.data_seed(config), n_critic=1, batch_size=NUM_POINTS)[0]
    prepared = {name: np.asarray(x[0]) for name, x in jax.jit(source.prepare)(batch).items()}
    return prepared.get("real", prepared)


def make_sample(gan: GAN, source: data.Source, config: ConfigDict) -> Callable[[GANState, int], np.ndarray]:
    """Returns a function of a state and its step that makes its picture, always of the same latents."""
    rows = np.arange(NUM_IMAGES if source.spec.images else NUM_POINTS)
    key = jax.random.fold_in(jax.random.key(config.seed), SAMPLE_KEY)
    sample = sampling.drawer(gan, source, seed_key=key, rows=rows)
    real = real_points(source, config)
    log_density = source.problem.log_density if source.problem else None
    surface = None
    if isinstance(real, np.ndarray) and source.shape == (2,):
        surface = make_surface(gan, pictures.square(real, real))

    def draw(state: GANState, step: int) -> np.ndarray:
        behind = surface(state) if surface else None
        return pictures.picture(sample(state), real, f"step {step}", log_density, behind)

    return draw


def make_surface(gan: GAN, limit: float) -> Callable[[GANState], np.ndarray | None] | None:
    """Returns a function of a state to its critic's logits over a square around the origin, rows upwards.

    None for a critic that gives a point no logit of its own: an auto-encoder, or one that compares samples.
    """
    if gan.judge is None:
        return None
    line = np.linspace(-limit, limit, SURFACE)
    plane = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2).astype(np.float32)
    judge = jax.jit(gan.judge)

    def surface(state: GANState) -> np.ndarray | None:
        if state.critic is None or minibatch.COLLECTION in state.critic.model_state:
            return None
        logits = np.asarray(judge(state, plane))
        return logits.reshape(SURFACE, SURFACE) if logits.ndim == 1 else None

    return surface


@contextmanager
def event_writer(directory: Path) -> Iterator[Callable[[], Any]]:
    """Loads TensorBoard's writer in the background; calling what is yielded waits for it."""

    def load() -> Any:
        # It loads TensorFlow, seconds in which the step is compiled.
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
    """Returns the function of a step to the shapes of the state in its checkpoint."""
    untils = [part.until for part in run]

    def at(step: int) -> GANState:
        part = run[stage_of(untils, min(step, untils[-1]))]
        return jax.eval_shape(build.initializer(part.config, part.gan))

    return at


def _stage(part: Part, mesh: jax.sharding.Mesh) -> Stage:
    config, source = part.config, part.source
    stream = source.batches(
        seed=build.data_seed(config), n_critic=max(config.n_critic, 1), batch_size=config.batch_size
    )
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
    progress: Callable[[Part, int], Progress] | None = None,
) -> dict[str, Any]:
    """Trains a run to its config's number of steps.

    Args:
      config: the run's.
      run: its stages, in order.
      directory: its work directory.
      manager: its checkpoints.
      restored: the checkpoint to go on from, None at the start.
      mesh: the devices.
      progress: makes what scores the run as it goes on, from its last stage and the step it begins at; None
        if its config asks for no score.

    Returns:
      The receipt, written to ``receipt.json`` too.

    Raises:
      RunFailed: the run cannot go on; the message names the step and the last good checkpoint.
      Stopped: by a signal; the state is saved.
    """
    pmapped = config.get("parallel", "jit") == "pmap"

    def place(state: GANState) -> GANState:
        return parallel.copy_for_pmap(state, mesh.size) if pmapped else parallel.replicate(state, mesh)

    def plain(state: GANState) -> GANState:
        return jax.tree.map(lambda x: x[0], state) if pmapped else state

    def info(seconds: float) -> dict[str, Any]:
        return {"config": workdir.as_json(config), "wall_time": seconds}

    stages = [_stage(part, mesh) for part in run]
    untils = [stage.until for stage in stages]
    start = int(restored.state.step) if restored else 0
    seconds = restored.info["wall_time"] if restored else 0.0
    began = time.monotonic() - seconds
    state = place(restored.state if restored else stages[0].init())
    painters: dict[int, Callable[[GANState, int], np.ndarray]] = {}

    def painter(number: int) -> Callable[[GANState, int], np.ndarray]:
        if number not in painters:
            painters[number] = make_sample(run[number].gan, run[number].source, run[number].config)
        return painters[number]

    painter(stage_of(untils, min(start + 1, untils[-1])))  # what it needs is compiled before the first step

    def draw(step: int, state: GANState) -> np.ndarray:
        image = painter(stage_of(untils, step))(plain(state), step)
        pictures.save(directory / "samples" / f"{step}.png", image)
        return image

    report = Report(start, config, "images" if run[0].source.spec.images else "points")
    metrics_path = directory / "metrics.jsonl"
    workdir.trim_metrics(metrics_path, start)
    with ExitStack() as stack:
        stack.callback(report.close)
        signals = stack.enter_context(loop.catch_signals())
        metrics_file = stack.enter_context(metrics_path.open("a"))
        scored = progress(run[-1], start) if progress else None
        if start == 0:
            draw(0, state)
        # Not before the picture: drawing may load matplotlib, and so does TensorFlow.
        writer = stack.enter_context(event_writer(directory / "tensorboard"))

        def log(step: int, state: GANState, metrics: Mapping[str, Any]) -> None:
            values = {name: float(np.ravel(value)[0]) for name, value in metrics.items()}
            speed = report(step, values)
            metrics_file.write(json.dumps({"step": step, **values}) + "\n")
            metrics_file.flush()
            writer().write_scalars(step, {**values, "samples_per_second": speed})

        def paint(step: int, state: GANState, metrics: Mapping[str, Any]) -> None:
            events = writer()
            events.write_images(step, {"samples": draw(step, state)[None]})

        def score(step: int, state: GANState, metrics: Mapping[str, Any]) -> None:
            # Scores of stages do not compare: those before the last are not scored.
            if scored and stage_of(untils, step) == len(untils) - 1:
                values = scored(step, plain(state), info(time.monotonic() - began))
                writer().write_scalars(step, values)

        def check(step: int, metrics: Mapping[str, Any]) -> None:
            check_finite(step, {name: np.ravel(value)[0] for name, value in metrics.items()})

        events = [
            loop.Event(lambda step: step % config.log_every == 0, log),
            loop.Event(lambda step: step % config.sample_every == 0, paint),
        ]
        if scored:
            events.append(loop.Event(lambda step: step % config.score.every == 0, score))
        program = loop.Program(
            stages, place, lambda step, state: plain(state), check, events, config.checkpoint_every, info
        )
        advice = "try a lower learning rate or another loss, in another --workdir"
        trained = loop.train(program, manager, restored, state, signals, seconds=seconds, advice=advice)
        if scored:
            scored.close()
    result = workdir.receipt(
        step=untils[-1],
        state_sha256=trained.state_sha256,
        config=config,
        wall_time=trained.seconds,
        examples=run[-1].source.num_examples,
        skipped=run[-1].source.num_skipped,
    )
    workdir.write_json(directory / "receipt.json", result)
    return result
