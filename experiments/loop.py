"""The one training loop: batches in, files out."""

import json
import math
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from experiments import build, pictures, workdir
from experiments.cli import RunFailed
from experiments.progress import Progress
from jaxgan import checkpoint, data, minibatch, parallel
from jaxgan.state import GANState, TrainState
from jaxgan.steps import GAN, train_step

NUM_IMAGES = 64
NUM_POINTS = 1024
SURFACE = 64  # logits along a side of the square that is drawn
SAMPLE_KEY = 0x5A3D  # folded into the seed's key: the latents of the sample pictures, fixed over a run
# Steps dispatched before the host waits for one. The device never idles, and a signal is not kept waiting.
AHEAD = 2


class Stopped(Exception):
    """A signal asked the run to stop, and it has, its checkpoint saved."""

    def __init__(self, signum: int):
        super().__init__(signum)
        self.signum = signum


@contextmanager
def catch_signals() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM instead of dying of them; a second one acts as usual."""
    received: list[int] = []
    previous: dict[signal.Signals, Any] = {}

    def handle(signum: int, frame: FrameType | None) -> None:
        received.append(signum)
        for number, handler in previous.items():
            signal.signal(number, handler)

    for number in (signal.SIGINT, signal.SIGTERM):
        previous[number] = signal.signal(number, handle)
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class NotFiniteError(Exception):
    """A loss or a gradient is no longer a number; the message names the step and the player."""


def check_finite(step: int, metrics: Mapping[str, float]) -> None:
    """Raises NotFiniteError if a player's loss or gradient is not finite."""
    for player in ("critic", "generator"):
        for kind, name in (("loss", f"{player}_loss"), ("gradient", f"{player}_grad_norm")):
            if name in metrics and not math.isfinite(metrics[name]):
                raise NotFiniteError(f"step {step}: the {player}'s {kind} is {metrics[name]}")


def last_good(manager: checkpoint.Manager) -> str:
    """The newest checkpoint on disk, for a run that has failed."""
    # Should the saving itself have failed, then that is the failure being reported.
    with suppress(Exception):
        manager.wait_until_finished()
    manager.reload()
    steps = manager.all_steps()
    return str(manager.directory / str(max(steps))) if steps else "none"


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
        text = (
            f"{speed:,.0f} {self._unit}/s, critic_loss {metrics['critic_loss']:.4g},"
            f" generator_loss {metrics['generator_loss']:.4g}, ETA {eta}"
        )
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
    """The compiled step on raw batches of a source: prepares them and trains."""

    def step(state: GANState, batch: Mapping[str, jax.Array]) -> tuple[GANState, dict[str, jax.Array]]:
        return train_step(state, source.prepare(batch), gan=gan, ema_decay=config.ema_decay)

    return parallel.jit_step(step, mesh)


def real_points(source: data.Source, config: ConfigDict) -> np.ndarray | None:
    """Real points to draw behind generated ones, None for images."""
    if len(source.shape) == 3:
        return None
    batch = source.batches(seed=build.data_seed(config), n_critic=1, batch_size=NUM_POINTS)[0]
    return np.asarray(jax.jit(source.prepare)(batch)["real"][0])


def make_sample(gan: GAN, source: data.Source, config: ConfigDict) -> Callable[[GANState, int], np.ndarray]:
    """A function of a state and its step that makes its picture, always of the same latents."""
    sample = jax.jit(gan.sample)
    key = jax.random.fold_in(jax.random.key(config.seed), SAMPLE_KEY)
    rows = np.arange(NUM_IMAGES if len(source.shape) == 3 else NUM_POINTS)
    real = real_points(source, config)
    log_density = source.problem.log_density if source.problem else None
    surface = None
    if real is not None and source.shape == (2,):
        surface = make_surface(pictures.square(real, real))

    def draw(state: GANState, step: int) -> np.ndarray:
        samples = np.asarray(sample(state, key, {"row": rows}))
        behind = surface(state) if surface else None
        return pictures.picture(samples, real, f"step {step}", log_density, behind)

    return draw


def make_surface(limit: float) -> Callable[[GANState], np.ndarray | None]:
    """A function of a state to its critic's logits over a square around the origin, rows upwards.

    None for a critic that gives a point no logit of its own: an auto-encoder, or one that compares samples.
    """
    line = np.linspace(-limit, limit, SURFACE)
    plane = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2).astype(np.float32)

    @jax.jit
    def judge(critic: TrainState) -> jax.Array:
        return critic.apply_fn({"params": critic.params, **critic.model_state}, plane, False)

    def surface(state: GANState) -> np.ndarray | None:
        if minibatch.COLLECTION in state.critic.model_state:
            return None
        logits = np.asarray(judge(state.critic))
        return logits.reshape(SURFACE, SURFACE) if logits.ndim == 1 else None

    return surface


@contextmanager
def event_writer(directory: Path) -> Iterator[Callable[[], Any]]:
    """TensorBoard's writer, loaded in the background; calling what is yielded waits for it."""

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


def train(
    config: ConfigDict,
    gan: GAN,
    source: data.Source,
    directory: Path,
    manager: checkpoint.Manager,
    restored: checkpoint.Restored | None,
    state: GANState,
    mesh: jax.sharding.Mesh,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Trains from a state to the config's number of steps.

    Args:
      config: the run's.
      gan: its system.
      source: its data.
      directory: its work directory.
      manager: its checkpoints.
      restored: the checkpoint the state came from, None at the start.
      state: where to begin, replicated over the mesh; it is donated.
      mesh: the devices.
      progress: scores the run as it goes on; None if its config asks for no score.

    Returns:
      The receipt, written to ``receipt.json`` too.

    Raises:
      RunFailed: the run cannot go on; the message names the step and the last good checkpoint.
      Stopped: by a signal; the state is saved.
    """
    start = int(state.step)
    began = time.monotonic() - (restored.info["wall_time"] if restored else 0.0)
    step_fn = make_step(gan, source, config, mesh)
    draw = make_sample(gan, source, config)
    stream = source.batches(
        seed=build.data_seed(config), n_critic=config.n_critic, batch_size=config.batch_size
    )
    batches = data.iterate(stream, start, config.num_steps)
    report = Report(start, config, "images" if len(source.shape) == 3 else "points")
    metrics_path = directory / "metrics.jsonl"
    workdir.trim_metrics(metrics_path, start)
    pending: deque[tuple[int, dict[str, jax.Array]]] = deque()
    saved_step, saved_hash = (start, restored.state_sha256) if restored else (None, "")

    def settle() -> dict[str, float]:
        """Waits for all dispatched steps, makes sure that they were numbers, returns the last one's."""
        values: dict[str, float] = {}
        fetched = jax.device_get([metrics for _, metrics in pending])
        for (number, _), metrics in zip(pending, fetched, strict=True):
            values = {name: float(value) for name, value in metrics.items()}
            check_finite(number, values)
        pending.clear()
        return values

    def info() -> dict[str, Any]:
        return {"config": workdir.as_json(config), "wall_time": time.monotonic() - began}

    def save(state: GANState) -> None:
        nonlocal saved_step, saved_hash
        saved_step, saved_hash = step, checkpoint.save(manager, state, info())

    step = start
    with ExitStack() as stack:
        signals = stack.enter_context(catch_signals())
        metrics_file = stack.enter_context(metrics_path.open("a"))
        try:
            if start == 0:
                pictures.save(directory / "samples" / "0.png", draw(state, 0))
            # Not before the picture: drawing may load matplotlib, and so does TensorFlow.
            writer = stack.enter_context(event_writer(directory / "tensorboard"))
            while step < config.num_steps and not signals:
                step += 1
                batch = parallel.shard_batch(next(batches), mesh)
                state, metrics = step_fn(state, batch)
                pending.append((step, metrics))
                if len(pending) > AHEAD:
                    jax.block_until_ready(pending[-AHEAD - 1][1])
                last = step == config.num_steps
                if step % config.log_every == 0 or last:
                    values = settle()
                    speed = report(step, values)
                    metrics_file.write(json.dumps({"step": step, **values}) + "\n")
                    metrics_file.flush()
                    writer().write_scalars(step, {**values, "samples_per_second": speed})
                if step % config.sample_every == 0 or last:
                    settle()
                    events = writer()
                    image = draw(state, step)
                    pictures.save(directory / "samples" / f"{step}.png", image)
                    events.write_images(step, {"samples": image[None]})
                if progress and (step % config.score.every == 0 or last):
                    settle()
                    writer().write_scalars(step, progress(step, state, info()))
                if step % config.checkpoint_every == 0 or last:
                    settle()
                    save(state)
            if step < config.num_steps:  # a signal has ended the loop early
                settle()
                if step != saved_step:
                    save(state)
            manager.wait_until_finished()
            if progress:
                progress.close()
            if step < config.num_steps:
                raise Stopped(signals[0])
        except Stopped:
            raise
        except NotFiniteError as error:
            raise RunFailed(
                f"{error}; last good checkpoint: {last_good(manager)}; try a lower learning rate or another"
                " loss, in another --workdir"
            ) from error
        except Exception as error:
            raise RunFailed(
                f"step {step}: {type(error).__name__}: {error}; last good checkpoint: {last_good(manager)}"
            ) from error
        finally:
            report.close()
    result = workdir.receipt(
        step=step,
        state_sha256=saved_hash,
        config=config,
        wall_time=time.monotonic() - began,
        examples=source.num_examples,
        skipped=source.num_skipped,
    )
    workdir.write_json(directory / "receipt.json", result)
    return result
