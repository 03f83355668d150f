"""The training loop: optimiser, schedule, validation with early stopping, and states to resume from."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn

from training.data.stretches import TrainingError

STATE_FILE: Final = "state.pt"
_CLIP_NORM: Final = 1.0
_FLOOR: Final = 0.05  # of the peak learning rate, at the end of the cosine
_SMOOTHING: Final = 0.95  # of the loss that is shown


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    Attributes
    ----------
    steps, learning_rate, weight_decay, seed
        Of AdamW (Loshchilov and Hutter 2019); the rate rises over the first 5 % of the steps and falls
        along a cosine.
    evaluate_every
        Steps between validations.
    patience
        Validations without a better loss after which training stops.
    """

    steps: int
    learning_rate: float
    seed: int
    evaluate_every: int
    patience: int
    weight_decay: float = 0.05

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        warm = max(1, self.steps // 20)
        if step < warm:
            return self.learning_rate * (step + 1) / warm
        done = (step - warm) / max(1, self.steps - warm)
        return self.learning_rate * (_FLOOR + (1 - _FLOOR) * 0.5 * (1 + math.cos(math.pi * done)))


@dataclass
class Progression:
    """What a training has come to; losses are (step, training loss, validation loss)."""

    step: int = 0
    best: float = math.inf
    best_step: int = 0
    stale: int = 0
    losses: list[tuple[int, float, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Task:
    """What a training consists of.

    Attributes
    ----------
    module
        Its parameters that require gradients are trained; dropout acts in it while it trains.
    loss
        From a step's number to its loss, a scalar, and the tokens it took. It must draw from the step's
        number alone, so that a resumed training sees what an unbroken one sees.
    validate
        Loss over the validation period; smaller is better.
    save
        Write the outputs; called whenever the validation loss is the best so far.
    """

    module: nn.Module
    loss: Callable[[int], tuple[Tensor, int]]
    validate: Callable[[], float]
    save: Callable[[], None]


def train(task: Task, schedule: Schedule, folder: Path, *, resume: bool) -> Progression:
    """Train to the last step or until validation stops improving.

    Parameters
    ----------
    folder
        Keeps `state.pt`, written at every validation.
    resume
        Go on from there; the weights come out as those of an unbroken run.

    Raises
    ------
    TrainingError
        There is a state and `resume` is false, there is none and it is true, it is of another training, or
        a loss is no number.
    """
    state_file = folder / STATE_FILE
    folder.mkdir(parents=True, exist_ok=True)
    # Embeddings and norms are left out of the decay: shrinking a rare token's row tells nothing.
    groups = _parameter_groups(task.module, schedule.weight_decay)
    optimiser = torch.optim.AdamW(groups, lr=schedule.learning_rate, betas=(0.9, 0.98))
    done = Progression()
    if resume or state_file.exists():
        done = _load(state_file, resume, task.module, optimiser, schedule)
    with _progress() as progress:
        shown = progress.add_task("train", total=schedule.steps, completed=done.step)
        progress.update(shown, loss=math.nan, best=done.best, rate=0.0, speed=0.0)
        trained = [p for p in task.module.parameters() if p.requires_grad]
        smooth, since, tokens = math.nan, time.monotonic(), 0
        while done.step < schedule.steps and done.stale < schedule.patience:
            rate = schedule.rate(done.step)
            value, count = _step(task, optimiser, trained, schedule.seed, done.step, rate)
            done.step += 1
            tokens += count
            smooth = value if math.isnan(smooth) else _SMOOTHING * smooth + (1 - _SMOOTHING) * value
            speed = tokens / (time.monotonic() - since)
            progress.update(shown, completed=done.step, loss=smooth, rate=rate, speed=speed)
            if done.step % schedule.evaluate_every == 0 or done.step == schedule.steps:
                _evaluate(task, done, smooth)
                _store(state_file, task.module, optimiser, schedule, done)
                _report(progress, shown, done, smooth, rate, speed)
    return done


def _step(
    task: Task,
    optimiser: torch.optim.Optimizer,
    trained: list[nn.Parameter],
    seed: int,
    step: int,
    rate: float,
) -> tuple[float, int]:
    torch.manual_seed(seed * 1_000_003 + step)  # dropout, too, depends on the step alone
    for group in optimiser.param_groups:
        group["lr"] = rate
    task.module.train()
    optimiser.zero_grad(set_to_none=True)
    loss, count = task.loss(step)
    loss.backward()  # type: ignore[no-untyped-call]
    value = float(loss.detach())
    if not math.isfinite(value):
        raise TrainingError(f"the loss is {value} at step {step}; try a smaller --learning-rate")
    torch.nn.utils.clip_grad_norm_(trained, _CLIP_NORM)
    optimiser.step()
    return value, count


def _evaluate(task: Task, done: Progression, training_loss: float) -> None:
    task.module.eval()
    with torch.no_grad():
        loss = task.validate()
    # A NaN is never the better loss, so the training would go on and end without a word.
    if not math.isfinite(loss):
        raise TrainingError(
            f"the validation loss is {loss} at step {done.step}; try a smaller --learning-rate"
        )
    done.losses.append((done.step, training_loss, loss))
    if loss < done.best:
        done.best, done.best_step, done.stale = loss, done.step, 0
        task.save()
    else:
        done.stale += 1


def _parameter_groups(module: nn.Module, decay: float) -> list[dict[str, Any]]:
    kept: list[nn.Parameter] = []
    decayed: list[nn.Parameter] = []
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            if parameter.requires_grad:
                matrix = name == "weight" and isinstance(part, nn.Linear)
                (decayed if matrix else kept).append(parameter)
    return [{"params": decayed, "weight_decay": decay}, {"params": kept, "weight_decay": 0.0}]


def _store(
    file: Path,
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    schedule: Schedule,
    done: Progression,
) -> None:
    state = {
        "schedule": asdict(schedule),
        "progression": asdict(done),
        "module": module.state_dict(),
        "optimiser": optimiser.state_dict(),
    }
    unfinished = file.with_suffix(".new")
    torch.save(state, unfinished)
    unfinished.replace(file)  # a training that is killed while it writes keeps the state before


def _load(
    file: Path, resume: bool, module: nn.Module, optimiser: torch.optim.Optimizer, schedule: Schedule
) -> Progression:
    if not resume:
        raise TrainingError(f"{file} is of an earlier training; go on with --resume, or choose another --out")
    if not file.exists():
        raise TrainingError(f"there is no {file} to resume from; leave out --resume to begin")
    state = torch.load(file, weights_only=True)
    if state["schedule"] != asdict(schedule):
        raise TrainingError(
            f"{file} was trained with {state['schedule']}, and {asdict(schedule)} is asked for; resume with "
            "the same settings"
        )
    try:
        module.load_state_dict(state["module"])
    except RuntimeError as error:
        raise TrainingError(f"{file} is of a model of another size: {error}") from error
    optimiser.load_state_dict(state["optimiser"])
    return Progression(**state["progression"])


def _progress() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn(
            "{task.completed}/{task.total} loss {task.fields[loss]:.4f} best {task.fields[best]:.4f} "
            "lr {task.fields[rate]:.1e} {task.fields[speed]:,.0f} tokens/s"
        ),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def _report(
    progress: Progress, shown: TaskID, done: Progression, loss: float, rate: float, speed: float
) -> None:
    progress.update(shown, best=done.best)
    left = progress.tasks[0].time_remaining
    Console(stderr=True, highlight=False).print(
        f"step {done.step}: loss {loss:.4f}, validation {done.losses[-1][2]:.4f} "
        f"(best {done.best:.4f} at {done.best_step}), lr {rate:.1e}, {speed:,.0f} tokens/s"
        + ("" if left is None else f", {left / 60:.0f} min left")
    )
