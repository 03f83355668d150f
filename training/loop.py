"""The training loop: optimiser, learning rate, validation with early stopping, and a state to resume from."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from training.data.stretches import TrainingError
from training.progress_display import ProgressDisplay

STATE_FILE: Final = "state.pt"
_CLIP_NORM: Final = 1.0
_FINAL_RATE: Final = 0.05  # of the peak learning rate, at the end of the cosine
_SMOOTHING: Final = 0.95  # of the training loss that is shown and recorded


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
        """Return the learning rate of a step, counted from 0."""
        warmup = max(1, self.steps // 20)
        if step < warmup:
            return self.learning_rate * (step + 1) / warmup
        progress = (step - warmup) / max(1, self.steps - warmup)
        cosine = 0.5 * (1 + math.cos(math.pi * progress))
        return self.learning_rate * (_FINAL_RATE + (1 - _FINAL_RATE) * cosine)


@dataclass
class TrainingProgress:
    """Steps done and losses so far; a part of the state, which a resumed training continues.

    Attributes
    ----------
    step
        Steps done.
    best, best_step
        Lowest validation loss, and the steps done when it was measured.
    stale
        Validations since then.
    losses
        (step, smoothed training loss, validation loss) of every validation.
    """

    step: int = 0
    best: float = math.inf
    best_step: int = 0
    stale: int = 0
    losses: list[tuple[int, float, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Task:
    """A model to train, with its losses and its outputs.

    Attributes
    ----------
    module
        Its parameters that require gradients are trained; it is in training mode during a step.
    loss
        Takes the number of a step and returns its loss, a scalar, and the tokens that it covers. It must
        depend on that number alone, so that a resumed training repeats an uninterrupted one.
    validate
        Returns the loss over the validation period; smaller is better.
    save
        Writes the outputs; called whenever the validation loss is the best so far.
    """

    module: nn.Module
    loss: Callable[[int], tuple[Tensor, int]]
    validate: Callable[[], float]
    save: Callable[[], None]


def train(task: Task, schedule: Schedule, folder: Path, *, resume: bool) -> TrainingProgress:
    """Train to the last step or until validation stops improving.

    Parameters
    ----------
    folder
        Where `state.pt` is written after every validation.
    resume
        Continue from that file; the weights become those of an uninterrupted training.

    Raises
    ------
    TrainingError
        There is a state and `resume` is false, there is none and it is true, it is of another training, or
        a loss is NaN or infinite.
    """
    state_file = folder / STATE_FILE
    folder.mkdir(parents=True, exist_ok=True)
    groups = _parameter_groups(task.module, schedule.weight_decay)
    optimiser = torch.optim.AdamW(groups, lr=schedule.learning_rate, betas=(0.9, 0.98))
    progress = TrainingProgress()
    if resume or state_file.exists():
        progress = _load(state_file, resume, task.module, optimiser, schedule)
    smoothed, start, tokens = math.nan, time.monotonic(), 0
    with ProgressDisplay(schedule.steps, progress.step, progress.best) as display:
        while progress.step < schedule.steps and progress.stale < schedule.patience:
            rate = schedule.rate(progress.step)
            loss, count = _step(task, optimiser, schedule.seed, progress.step, rate)
            progress.step += 1
            tokens += count
            smoothed = loss if math.isnan(smoothed) else _SMOOTHING * smoothed + (1 - _SMOOTHING) * loss
            display.step_done(progress.step, smoothed, rate, tokens / (time.monotonic() - start))
            if progress.step % schedule.evaluate_every == 0 or progress.step == schedule.steps:
                validation_loss = _validate(task, progress, smoothed)
                _store(state_file, task.module, optimiser, schedule, progress)
                display.validated(progress.step, validation_loss, progress.best, progress.best_step)
    return progress


def _step(
    task: Task, optimiser: torch.optim.Optimizer, seed: int, step: int, rate: float
) -> tuple[float, int]:
    """Update the weights once; return the loss and its tokens."""
    torch.manual_seed(seed * 1_000_003 + step)  # dropout must depend on the step alone, as the loss does
    for group in optimiser.param_groups:
        group["lr"] = rate
    task.module.train()
    optimiser.zero_grad(set_to_none=True)
    loss, count = task.loss(step)
    loss.backward()  # type: ignore[no-untyped-call]
    value = float(loss.detach())
    if not math.isfinite(value):
        raise TrainingError(f"the loss is {value} at step {step}; try a smaller --learning-rate")
    trained = [parameter for parameter in task.module.parameters() if parameter.requires_grad]
    torch.nn.utils.clip_grad_norm_(trained, _CLIP_NORM)
    optimiser.step()
    return value, count


def _validate(task: Task, progress: TrainingProgress, training_loss: float) -> float:
    """Measure the validation loss, note it, and save the outputs where it is the best so far."""
    task.module.eval()
    with torch.no_grad():
        loss = task.validate()
    # No comparison with a NaN is true, so that training would go on to its end without ever saving again.
    if not math.isfinite(loss):
        raise TrainingError(
            f"the validation loss is {loss} at step {progress.step}; try a smaller --learning-rate"
        )
    progress.losses.append((progress.step, training_loss, loss))
    if loss < progress.best:
        progress.best, progress.best_step, progress.stale = loss, progress.step, 0
        task.save()
    else:
        progress.stale += 1
    return loss


def _parameter_groups(module: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Return groups for the optimiser, of which only the matrices of linear layers decay.

    Embeddings must not: the row of a rare token would shrink at every step that does not see it.
    """
    decayed: list[nn.Parameter] = []
    undecayed: list[nn.Parameter] = []
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            if parameter.requires_grad:
                is_matrix = name == "weight" and isinstance(part, nn.Linear)
                (decayed if is_matrix else undecayed).append(parameter)
    return [{"params": decayed, "weight_decay": decay}, {"params": undecayed, "weight_decay": 0.0}]


def _store(
    file: Path,
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    schedule: Schedule,
    progress: TrainingProgress,
) -> None:
    state = {
        "schedule": asdict(schedule),
        "progression": asdict(progress),
        "module": module.state_dict(),
        "optimiser": optimiser.state_dict(),
    }
    unfinished = file.with_suffix(".new")
    torch.save(state, unfinished)
    unfinished.replace(file)  # atomic: a training killed while it writes keeps the state before


def _load(
    file: Path, resume: bool, module: nn.Module, optimiser: torch.optim.Optimizer, schedule: Schedule
) -> TrainingProgress:
    """Load a state into the module and the optimiser; return its progress."""
    if not resume:
        raise TrainingError(
            f"{file} is of an earlier training; continue it with --resume, or choose another --out"
        )
    if not file.exists():
        raise TrainingError(f"there is no {file} to resume from; leave out --resume to begin")
    state = torch.load(file, weights_only=True)
    if state["schedule"] != asdict(schedule):
        raise TrainingError(
            f"{file} was trained with {state['schedule']}, not with {asdict(schedule)}; resume with the same "
            "settings"
        )
    try:
        module.load_state_dict(state["module"])
    except RuntimeError as error:
        raise TrainingError(f"{file} is of a model of another size: {error}") from error
    optimiser.load_state_dict(state["optimiser"])
    return TrainingProgress(**state["progression"])
