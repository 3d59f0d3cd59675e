"""The training loop of runs and of groups of a sweep."""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import jax

from experiments.cli import interrupts
from experiments.cli.exits import RunFailed
from jaxgan import checkpoint
from jaxgan.stages import Stage, stage_of

PyTree = Any

# The host waits for a step once this many later steps are dispatched, so that the device always has work
# and a signal still takes effect soon.
AHEAD = 2


class NotFiniteError(Exception):
    """A loss or gradient that is not finite; the message names the step and the player."""


def last_good(manager: checkpoint.Manager) -> str:
    """Returns the path of the newest checkpoint on disk, or ``"none"``, for the message of a failed run."""
    # If saving a checkpoint failed, that failure is already being reported.
    with suppress(Exception):
        manager.wait_until_finished()
    manager.reload()
    steps = manager.all_steps()
    return str(manager.directory / str(max(steps))) if steps else "none"


def restore(
    manager: checkpoint.Manager, abstract_at: Callable[[int], PyTree]
) -> checkpoint.Restored | None:
    """Restores the newest checkpoint that can be read; reports damaged checkpoints and sets them aside.

    Args:
      manager: Manager of the checkpoints.
      abstract_at: Function from a step to the shapes of the state in its checkpoint.

    Returns:
      The restored checkpoint; None if there are no checkpoints.

    Raises:
      SetupError: There are checkpoints, and none can be read.
    """
    restored, damaged = checkpoint.restore(manager, abstract_at)
    for item in damaged:
        path = checkpoint.set_aside(manager, item)
        print(
            f"checkpoint {item.path} is damaged ({item.reason}): skipped, kept as {path.name}", flush=True
        )
    return restored


class Event(NamedTuple):
    """An action at some steps of training, such as logging.

    Attributes:
      due: Function from a step to whether the action is due. Every action is due at the last step.
      act: ``act(step, state, metrics)``, with the computed state on devices and the metrics on the host.
    """

    due: Callable[[int], bool]
    act: Callable[[int, PyTree, Mapping[str, Any]], None]


class Program(NamedTuple):
    """A program for the training loop.

    A program has its state in two forms: as checkpoints hold it, and as the steps of its stages take it on
    the devices.

    Attributes:
      stages: Stages in order. ``init`` and ``carry`` of a stage use the form of checkpoints.
      place: Converts a state from the form of checkpoints to that on the devices.
      collect: ``collect(step, state)``, converts a state on the devices to the form of checkpoints.
      check: ``check(step, metrics)``, raises NotFiniteError if training cannot continue.
      events: Events, whose actions run in this order.
      checkpoint_every: Steps between checkpoints.
      info: ``info(seconds)``, returns the values that a checkpoint records besides the state, given the
        seconds of training.
    """

    stages: Sequence[Stage]
    place: Callable[[PyTree], PyTree]
    collect: Callable[[int, PyTree], PyTree]
    check: Callable[[int, Mapping[str, Any]], None]
    events: Sequence[Event]
    checkpoint_every: int
    info: Callable[[float], dict[str, Any]]


class Trained(NamedTuple):
    """Result of training.

    Attributes:
      state: Last state, on the devices.
      state_sha256: Hash of the checkpoint of the last state.
      seconds: Seconds of training, over all processes of the run.
    """

    state: PyTree
    state_sha256: str
    seconds: float


def train(
    program: Program,
    manager: checkpoint.Manager,
    restored: checkpoint.Restored | None,
    state: PyTree,
    signals: Sequence[int],
    *,
    seconds: float = 0.0,
    title: str = "",
    advice: str = "",
) -> Trained:
    """Trains a program from a state to the end of its last stage.

    Args:
      program: Program to train.
      manager: Manager of its checkpoints.
      restored: Checkpoint that ``state`` comes from; None for a new run.
      state: State to start from, on the devices. It is donated.
      signals: Signals received so far. When there is one, the loop saves the state and stops.
      seconds: Seconds of training in earlier processes.
      title: Start of the message of a failure.
      advice: End of the message when a loss or gradient is not finite.

    Returns:
      The last state, and the hash of its checkpoint.

    Raises:
      RunFailed: Training cannot continue. The message names the step and the last good checkpoint.
      Stopped: A signal was received, and the state has been saved.
    """
    untils = [stage.until for stage in program.stages]
    step = int(restored.state.step) if restored else 0
    began, number = time.monotonic() - seconds, stage_of(untils, step)
    saved_step, saved_hash = (step, restored.state_sha256) if restored else (None, "")
    pending: deque[tuple[int, dict[str, jax.Array]]] = deque()
    values: Mapping[str, Any] = {}

    def settle() -> None:
        """Waits for all dispatched steps and checks their metrics."""
        nonlocal values
        fetched = jax.device_get([metrics for _, metrics in pending])
        for (at, _), metrics in zip(pending, fetched, strict=True):
            values = metrics
            program.check(at, metrics)
        pending.clear()

    def save() -> None:
        nonlocal saved_step, saved_hash
        settle()
        info = program.info(time.monotonic() - began)
        saved_step, saved_hash = step, checkpoint.save(manager, program.collect(step, state), info)

    try:
        while not signals:
            stage = program.stages[number]
            for batch in stage.batches(step, stage.until):
                if signals:
                    break
                step += 1
                state, metrics = stage.step(state, batch)
                pending.append((step, metrics))
                if len(pending) > AHEAD:
                    jax.block_until_ready(pending[-AHEAD - 1][1])
                last = step == untils[-1]
                for event in program.events:
                    if event.due(step) or last:
                        settle()
                        event.act(step, state, values)
                if step % program.checkpoint_every == 0 or last:
                    save()
            if signals or number + 1 == len(program.stages):
                break
            number += 1
            following = program.stages[number]
            assert following.carry is not None
            # The state is saved before the carry, because a signal may come while the next stage starts.
            if step != saved_step:
                save()
            state = program.place(following.carry(program.collect(step, state), following.init()))
        settle()
        if step < untils[-1] and step != saved_step:  # A signal ended the loop early.
            save()
        manager.wait_until_finished()
    except NotFiniteError as error:
        raise RunFailed(f"{title}{error}; last good checkpoint: {last_good(manager)}; {advice}") from error
    except Exception as error:
        raise RunFailed(
            f"{title}step {step}: {type(error).__name__}: {error};"
            f" last good checkpoint: {last_good(manager)}"
        ) from error
    if step < untils[-1]:
        raise interrupts.Stopped(signals[0])
    return Trained(state, saved_hash, time.monotonic() - began)
