"""Trains a tokenizer, a decoder, or an EventEncoder and adapter, from stretches to files."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from export.model.checkpoint import WEIGHTS_FILE, Checkpoint, load_weights, randomise, save_checkpoint
from export.model.config import DecoderConfig, TokenizerConfig, check_pair
from export.model.decoder import KronosDecoder
from export.model.event_encoder import EventEncoder, save_events
from export.model.tokenizer import KronosTokenizer
from market.normalise import CLIP
from training.data.stretches import Stretch
from training.data.windows import Batch, Sampler
from training.folding import fits, fold
from training.loop import Schedule, Task, TrainingProgress, train
from training.lora import add_lora, save_lora
from training.objective import token_nll, weighted_mean
from training.record import PRICE_LIMIT_ENTRY, write_record
from training.tokenizer_loss import token_use, tokenizer_loss

EVENT_WEIGHT: Final = 3.0  # of a candle in which a release falls, in the loss
# The learning rate of the EventEncoder over the adapter's. A flag is set on one candle in hundreds, and its
# column must matter beside a token embedding of norm 50; at the adapter's rate it only reached a norm of 9.
ENCODER_GAIN: Final = 10.0
VALIDATION_BATCHES: Final = 12
FOLDING_BATCHES: Final = 16  # whose candles decide the cells of a folding quantiser


@dataclass(frozen=True)
class Job:
    """The data, settings and output folder of a training.

    Attributes
    ----------
    training, validation
        Stretches before the split date and from it on.
    window, rows
        Candles of a window, and windows of a step.
    mirror
        As in `Sampler`. Trainings of events ignore it, since a surprise has a direction.
    settings
        Further entries of `training.json`.
    price_limit
        As in `training.data.windows.cut_window`.
    """

    training: Sequence[Stretch]
    validation: Sequence[Stretch]
    window: int
    rows: int
    mirror: bool
    schedule: Schedule
    out: Path
    resume: bool
    settings: dict[str, Any]
    price_limit: float = CLIP

    @property
    def device(self) -> str:
        """The GPU where there is one, else the CPU."""
        return "cuda" if torch.cuda.is_available() else "cpu"

    def samplers(self, *, mirror: bool) -> tuple[Sampler, list[Batch]]:
        """Return the sampler of training windows, and the validation batches on the device."""
        settings = self.window, self.rows, self.schedule.seed
        training = Sampler(self.training, *settings, mirror, self.price_limit)
        validation = Sampler(self.validation, *settings, price_limit=self.price_limit)
        return training, [batch.to(self.device) for batch in validation.fixed(VALIDATION_BATCHES)]

    def task(
        self,
        module: nn.Module,
        sampler: Sampler,
        validation: Sequence[Batch],
        batch_loss: Callable[[Batch], Tensor],
        save: Callable[[], None],
    ) -> Task:
        """Return the task of minimising the loss of a batch."""

        def loss(step: int) -> tuple[Tensor, int]:
            return batch_loss(sampler.batch(step).to(self.device)), self.rows * self.window

        def validate() -> float:
            return float(torch.stack([batch_loss(batch) for batch in validation]).mean())

        return Task(module, loss, validate, save)

    def run(self, kind: str, task: Task, figures: Callable[[], dict[str, float]] = dict) -> TrainingProgress:
        """Train, and write `training.json` with the figures of the outputs."""
        progress = train(task, self.schedule, self.out, resume=self.resume)
        settings = self.settings | {
            "window": self.window,
            "rows": self.rows,
            PRICE_LIMIT_ENTRY: self.price_limit,
            "figures": figures(),
        }
        write_record(self.out, kind, self.training, self.validation, self.schedule, progress, settings)
        return progress


def train_tokenizer(config: TokenizerConfig, job: Job) -> TrainingProgress:
    """Train a tokenizer; `job.out` becomes a folder that `python -m export --tokenizer` takes.

    One that is large enough begins as a folding quantiser, whose encoder is not trained; see `folding`.
    """
    tokenizer = KronosTokenizer(config)
    randomise(tokenizer, job.schedule.seed)
    sampler, validation = job.samplers(mirror=job.mirror)
    if fits(config):
        candles = torch.cat([sampler.batch(step).values.flatten(0, 1) for step in range(FOLDING_BATCHES)])
        fold(tokenizer, candles.double().numpy())
    tokenizer.to(job.device)

    def figures() -> dict[str, float]:
        load_weights(tokenizer, job.out / WEIGHTS_FILE)
        with torch.no_grad():
            return token_use(tokenizer.eval(), validation)

    task = job.task(
        tokenizer,
        sampler,
        validation,
        lambda batch: tokenizer_loss(tokenizer, batch),
        lambda: _save_half(tokenizer, job.out),
    )
    return job.run("tokenizer", task, figures)


def train_decoder(
    config: DecoderConfig, tokenizer: KronosTokenizer, job: Job, initial: Path | None = None
) -> TrainingProgress:
    """Train a decoder on the tokens of a tokenizer; `job.out` becomes what `python -m export --model` takes.

    Only tokens after the cut are scored. Those before it are normalised by a mean that their own future
    entered, and a model trained on them would expect prices to return to that mean.

    Parameters
    ----------
    initial
        Weights to begin with, a safetensors file of a decoder of the same size; random ones unless given.
    """
    check_pair(config, tokenizer.config)
    decoder = KronosDecoder(config)
    if initial is None:
        randomise(decoder, job.schedule.seed)
    else:
        load_weights(decoder, initial)
    decoder.to(job.device)
    tokenizer.to(job.device).eval().requires_grad_(False)
    sampler, validation = job.samplers(mirror=job.mirror)

    def batch_loss(batch: Batch) -> Tensor:
        s1, s2 = tokenizer.encode(batch.values)
        return weighted_mean(token_nll(decoder, s1, s2, batch.stamp).candle, batch.future)

    task = job.task(decoder, sampler, validation, batch_loss, lambda: _save_half(decoder, job.out))
    return job.run("decoder", task)


class EventModel(nn.Module):
    """A frozen decoder with low-rank updates, and the EventEncoder whose output it adds to its tokens.

    The encoder is stored divided by `ENCODER_GAIN`, and its output is multiplied by it: AdamW's steps do not
    depend on the size of a gradient, so its weights move that many times faster.
    """

    def __init__(self, decoder: KronosDecoder) -> None:
        super().__init__()
        add_lora(decoder)
        self.decoder = decoder
        self.encoder = EventEncoder(decoder.config.d_model)
        with torch.no_grad():
            for parameter in self.encoder.parameters():
                parameter.div_(ENCODER_GAIN)

    def embedding(self, events: Tensor) -> Tensor:
        """Return what is added to the token embedding: (B, L, 20) to (B, L, d_model)."""
        embedded: Tensor = self.encoder(events) * ENCODER_GAIN
        return embedded

    def trained_encoder(self) -> EventEncoder:
        """Return the EventEncoder as it is exported, with the gain in its weights."""
        encoder = copy.deepcopy(self.encoder)
        with torch.no_grad():
            for parameter in encoder.parameters():
                parameter.mul_(ENCODER_GAIN)
        return encoder

    def nll(self, tokenizer: KronosTokenizer, batch: Batch) -> Tensor:
        """Return the mean negative log-likelihood of candles after the cut, event steps weighted."""
        assert batch.events is not None
        assert batch.event_steps is not None
        s1, s2 = tokenizer.encode(batch.values)
        candle_nll = token_nll(self.decoder, s1, s2, batch.stamp, self.embedding(batch.events)).candle
        weights = batch.future * (1 + (EVENT_WEIGHT - 1) * batch.event_steps[:, 1:])
        return weighted_mean(candle_nll, weights)


def train_events(checkpoint: Checkpoint, job: Job) -> TrainingProgress:
    """Train an EventEncoder and a LoRA adapter on a frozen checkpoint.

    Writes `events.safetensors` (alignment "next") and `adapter/` to `job.out`, for `python -m export`.
    """
    torch.manual_seed(job.schedule.seed)
    model = EventModel(checkpoint.decoder).to(job.device)
    tokenizer = checkpoint.tokenizer.to(job.device).requires_grad_(False)
    silent = silent_channels(job.training)
    with torch.no_grad():
        # A channel that is 0 throughout the training must have no effect, not that of a random weight.
        model.encoder.proj.weight[:, silent] = 0.0
    sampler, validation = job.samplers(mirror=False)

    def save() -> None:
        save_events(model.trained_encoder().half(), "next", job.out / "events.safetensors")
        save_lora(model.decoder, checkpoint.decoder_source.name, job.out / "adapter")

    task = job.task(model, sampler, validation, lambda batch: model.nll(tokenizer, batch), save)
    return replace(job, settings=job.settings | {"silent_channels": silent}).run("events", task)


def silent_channels(stretches: Sequence[Stretch]) -> list[int]:
    """Return the event channels that are 0 in every row."""
    used = np.stack([stretch.events.any(axis=0) for stretch in stretches if stretch.events is not None])
    return [int(channel) for channel in np.flatnonzero(~used.any(axis=0))]


def _save_half(module: KronosDecoder | KronosTokenizer, folder: Path) -> None:
    """Write a checkpoint in float16, half the size; the next training and the export read it in float32."""
    save_checkpoint(copy.deepcopy(module).half(), folder)
