"""The one training loop, of runs and of groups of a sweep."""

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

# Steps dispatched before the host waits for one. The device never idles, and a signal is not kept waiting.
AHEAD = 2


class NotFiniteError(Exception):
    """A loss or a gradient is no longer a number; the message names the step and the player."""


def last_good(manager: checkpoint.Manager) -> str:
    """Returns the newest checkpoint on disk, for a run that has failed."""
    # Should the saving itself have failed, then that is the failure being reported.
    with suppress(Exception):
        manager.wait_until_finished()
    manager.reload()
    steps = manager.all_steps()
    return str(manager.directory / str(max(steps))) if steps else "none"


def restore(
    manager: checkpoint.Manager, abstract_at: Callable[[int], PyTree]
) -> checkpoint.Restored | None:
    """Reads the newest whole checkpoint; says of damaged ones that they are set aside, and does so.

    Args:
      manager: of the checkpoints.
      abstract_at: the shapes of the state in the checkpoint of a step.

    Returns:
      The checkpoint, None if there is none.

    Raises:
      SetupError: there are checkpoints and none can be read.
    """
    restored, damaged = checkpoint.restore(manager, abstract_at)
    for item in damaged:
        path = checkpoint.set_aside(manager, item)
        print(
            f"checkpoint {item.path} is damaged ({item.reason}): skipped, kept as {path.name}", flush=True
        )
    return restored


class Event(NamedTuple):
    """Something that is done at some steps.

    Attributes:
      due: whether it is done at a step; at the last one it is always done.
      act: ``act(step, state, metrics)``, the state on devices and settled, the metrics on the host.
    """

    due: Callable[[int], bool]
    act: Callable[[int, PyTree, Mapping[str, Any]], None]


class Program(NamedTuple):
    """What is trained.

    Attributes:
      stages: in order. Their ``init`` and ``carry`` deal in what a checkpoint holds.
      place: puts what a checkpoint holds on the devices, as a stage's step takes it.
      collect: ``collect(step, state)``, what a checkpoint holds, of a state on the devices.
      check: ``check(step, metrics)``, raises NotFiniteError if the program cannot go on.
      events: done in this order.
      checkpoint_every: steps between checkpoints.
      info: ``info(seconds)``, what a checkpoint says besides its state, after so many seconds of training.
    """

    stages: Sequence[Stage]
    place: Callable[[PyTree], PyTree]
    collect: Callable[[int, PyTree], PyTree]
    check: Callable[[int, Mapping[str, Any]], None]
    events: Sequence[Event]
    checkpoint_every: int
    info: Callable[[float], dict[str, Any]]


class Trained(NamedTuple):
    """What training came to.

    Attributes:
      state: the last one, on the devices.
      state_sha256: hash of its checkpoint.
      seconds: of training, over all processes of the run.
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
      program: what is trained.
      manager: its checkpoints.
      restored: the checkpoint that the state came from, None at the start.
      state: where to begin, on the devices; it is donated.
      signals: those received; at the first the loop saves and stops.
      seconds: of training before.
      title: how a failure's message begins.
      advice: what a failure of numbers is to be met with.

    Raises:
      RunFailed: it cannot go on; the message names the step and the last good checkpoint.
      Stopped: by a signal; the state is saved.
    """
    untils = [stage.until for stage in program.stages]
    step = int(restored.state.step) if restored else 0
    began, number = time.monotonic() - seconds, stage_of(untils, step)
    saved_step, saved_hash = (step, restored.state_sha256) if restored else (None, "")
    pending: deque[tuple[int, dict[str, jax.Array]]] = deque()
    values: Mapping[str, Any] = {}

    def settle() -> None:
        """Waits for all dispatched steps and checks what they came to."""
        nonlocal values
        fetched = jax.device_get([metrics for _, metrics in pending])
        for (at, _), found in zip(pending, fetched, strict=True):
            values = found
            program.check(at, found)
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
            # A signal that comes while the next stage begins finds the state before any carry saved.
            if step != saved_step:
                save()
            state = program.place(following.carry(program.collect(step, state), following.init()))
        settle()
        if step < untils[-1] and step != saved_step:  # a signal has ended the loop early
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
