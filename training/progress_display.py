"""Shows the progress of a training on stderr: a bar on a terminal, and a line for every validation."""

import math
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class ProgressDisplay:
    """A context manager that draws the bar while it is open.

    Parameters
    ----------
    steps, first_step
        Steps of the whole training, and those that an earlier run has done.
    best_loss
        The lowest validation loss of that run, infinity without one.
    """

    def __init__(self, steps: int, first_step: int, best_loss: float) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn(
                "{task.completed}/{task.total} loss {task.fields[loss]:.4f} best {task.fields[best]:.4f} "
                "lr {task.fields[rate]:.1e} {task.fields[speed]:,.0f} tokens/s"
            ),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(
            "train", total=steps, completed=first_step, loss=math.nan, best=best_loss, rate=0.0, speed=0.0
        )

    def __enter__(self) -> Self:
        """Draw the bar."""
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the bar as it is."""
        self._bar.stop()

    def step_done(self, step: int, loss: float, rate: float, speed: float) -> None:
        """Redraw the bar: smoothed training loss, learning rate, and tokens per second."""
        self._bar.update(self._task, completed=step, loss=loss, rate=rate, speed=speed)

    def validated(self, step: int, validation_loss: float, best_loss: float, best_step: int) -> None:
        """Write a line with the figures of the last step and of a validation after it."""
        self._bar.update(self._task, best=best_loss)
        (task,) = self._bar.tasks
        seconds = task.time_remaining
        self._console.print(
            f"step {step}: loss {task.fields['loss']:.4f}, validation {validation_loss:.4f} "
            f"(best {best_loss:.4f} at {best_step}), lr {task.fields['rate']:.1e}, "
            f"{task.fields['speed']:,.0f} tokens/s"
            + ("" if seconds is None else f", {seconds / 60:.0f} min left")
        )
