"""Progress of a run on the terminal."""

import sys
import time
from collections.abc import Mapping
from typing import NamedTuple

from ml_collections import ConfigDict
from tqdm import tqdm


class Timed(NamedTuple):
    """Steps whose time is known, and the seconds that they took together.

    The steps up to the first log line of each process are not among them, because their time includes the
    start and the compilation.
    """

    steps: int
    seconds: float


class ProgressBar:
    """Progress of a run, shown as a bar on a terminal and as lines of text elsewhere.

    Args:
      start: Step that training starts from.
      config: Config of the run.
      unit: Name of the samples in the displayed speed, e.g. ``"images"``.
      timed: Timed steps of earlier processes of the run.

    Attributes:
      timed: Timed steps up to the last log line.
    """

    def __init__(self, start: int, config: ConfigDict, unit: str, timed: Timed):
        self._config, self._unit, self.timed = config, unit, timed
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
        """Shows the progress at a logged step.

        Args:
          step: The step.
          metrics: Metrics of the step.

        Returns:
          The number of samples per second since the previous logged step.
        """
        now = time.monotonic()
        steps = (step - self._step) / max(now - self._time, 1e-9)
        if self._rate:
            self.timed = Timed(self.timed.steps + step - self._step, self.timed.seconds + now - self._time)
        self._step, self._time = step, now
        # The first interval includes the compilation, so the estimate restarts with the second.
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
        """Closes the bar and leaves it on the terminal."""
        if self._bar is not None:
            self._bar.close()
