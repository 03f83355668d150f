import math

import pytest
import torch
from torch import nn

from training.data.stretches import TrainingError
from training.loop import Schedule, Task, train

PLAN = Schedule(steps=12, learning_rate=0.05, seed=1, evaluate_every=4, patience=9)


def regression(saved=None):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.2), nn.Linear(4, 1))

    def loss(step):
        x = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
        return (module(x) - x.sum(-1, keepdim=True)).square().mean(), len(x)

    return Task(module, loss, lambda: float(loss(999)[0]), lambda: saved is None or saved.append(1))


def weights(task):
    return torch.cat([p.detach().flatten() for p in task.module.parameters()])


def test_the_loss_falls_and_the_best_is_saved(tmp_path):
    saved = []
    progress = train(regression(saved), PLAN, tmp_path, resume=False)
    assert progress.losses[-1][2] < progress.losses[0][2]
    assert progress.best == min(loss for _, _, loss in progress.losses)
    assert saved


def test_a_resumed_training_ends_with_the_weights_of_an_uninterrupted_one(tmp_path):
    uninterrupted = regression()
    train(uninterrupted, PLAN, tmp_path / "a", resume=False)

    interrupted = regression()
    loss = interrupted.loss

    def killed(step):
        if step == 9:
            raise KeyboardInterrupt
        return loss(step)

    with pytest.raises(KeyboardInterrupt):
        train(
            Task(interrupted.module, killed, interrupted.validate, interrupted.save),
            PLAN,
            tmp_path / "b",
            resume=False,
        )
    resumed = regression()
    progress = train(resumed, PLAN, tmp_path / "b", resume=True)
    assert progress.step == 12
    assert torch.equal(weights(resumed), weights(uninterrupted))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_nan_or_infinite_validation_loss_is_an_error_and_saves_no_output(tmp_path, value):
    saved = []
    task = regression(saved)
    with pytest.raises(TrainingError, match=f"the validation loss is {value} at step 4"):
        train(Task(task.module, task.loss, lambda: value, task.save), PLAN, tmp_path, resume=False)
    assert not saved


def test_it_stops_when_validation_no_longer_improves(tmp_path):
    task = regression()
    worse = iter(range(100))
    progress = train(
        Task(task.module, task.loss, lambda: float(next(worse)), task.save),
        Schedule(40, 0.01, seed=1, evaluate_every=2, patience=3),
        tmp_path,
        resume=False,
    )
    assert (progress.step, progress.best_step) == (8, 2)


def test_frozen_parameters_stay(tmp_path):
    task = regression()
    task.module[0].requires_grad_(False)
    before = task.module[0].weight.clone()
    train(task, PLAN, tmp_path, resume=False)
    assert torch.equal(task.module[0].weight, before)


def test_the_rate_rises_and_falls():
    plan = Schedule(100, 1.0, seed=0, evaluate_every=1, patience=1)
    rates = [plan.rate(step) for step in range(100)]
    assert rates[0] == 0.2
    assert max(rates) == rates[4] == 1.0
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert 0.05 <= rates[-1] < 0.06


def test_states_are_neither_overwritten_nor_mixed_up(tmp_path):
    with pytest.raises(TrainingError, match="to resume from; leave out --resume"):
        train(regression(), PLAN, tmp_path, resume=True)
    train(regression(), PLAN, tmp_path, resume=False)
    with pytest.raises(TrainingError, match="--resume, or choose another --out"):
        train(regression(), PLAN, tmp_path, resume=False)
    other = Schedule(13, 0.05, seed=1, evaluate_every=4, patience=9)
    with pytest.raises(TrainingError, match="the same settings"):
        train(regression(), other, tmp_path, resume=True)


def test_a_nan_loss_ends_the_training(tmp_path):
    task = regression()
    diverging = Task(task.module, lambda step: (task.loss(step)[0] * math.nan, 1), task.validate, task.save)
    with pytest.raises(TrainingError, match="loss is nan at step 0; try a smaller --learning-rate"):
        train(diverging, PLAN, tmp_path, resume=False)
