"""The three trainings: what is trained on what, what is validated, what is written."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
from training.data.stretches import Stretch
from training.data.windows import Batch, Sampler
from training.folding import fits, fold
from training.loop import Progression, Schedule, Task, train
from training.lora import add_lora, save_lora
from training.objective import token_nll, weighted_mean
from training.record import write_record
from training.tokenizer_loss import token_use, tokenizer_loss

EVENT_WEIGHT: Final = 3.0  # of a candle in which a release falls
# The EventEncoder learns so many times faster than the adapter. A flag stands on one candle in hundreds, and
# what it adds must be felt beside a token embedding of norm 50; at the adapter's rate it came to 9.
ENCODER_GAIN: Final = 10.0
VALIDATION_BATCHES: Final = 12
FOLDED_ON: Final = 16  # batches whose values decide the cells of a folding quantiser


@dataclass(frozen=True)
class Job:
    """What all trainings are given.

    Attributes
    ----------
    training, validation
        Stretches before the split date and from it on.
    window, rows
        Candles of a window, and windows of a step.
    mirror
        See `Sampler`; trainings for events ignore it, since a surprise has a direction.
    settings
        Goes into `training.json`.
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

    @property
    def device(self) -> str:
        """The GPU where there is one."""
        return "cuda" if torch.cuda.is_available() else "cpu"

    def samplers(self, *, mirror: bool) -> tuple[Sampler, list[Batch]]:
        """Where training windows come from, and the validation batches."""
        drawn = Sampler(self.training, self.window, self.rows, self.schedule.seed, mirror)
        held_out = Sampler(self.validation, self.window, self.rows, self.schedule.seed)
        return drawn, [batch.to(self.device) for batch in held_out.fixed(VALIDATION_BATCHES)]

    def run(self, what: str, task: Task, figures: Callable[[], dict[str, float]] = dict) -> Progression:
        """Train, and write `training.json` with the figures of the outputs."""
        done = train(task, self.schedule, self.out, resume=self.resume)
        settings = self.settings | {"window": self.window, "rows": self.rows, "figures": figures()}
        write_record(self.out, what, self.training, self.validation, self.schedule, done, settings)
        return done


def train_tokenizer(config: TokenizerConfig, job: Job) -> Progression:
    """Train a tokenizer; `out` becomes a folder that `python -m export --tokenizer` takes.

    One that is large enough begins as a folding quantiser, of which the encoder is kept; see `folding`.
    """
    tokenizer = KronosTokenizer(config)
    randomise(tokenizer, job.schedule.seed)
    drawn, held_out = job.samplers(mirror=job.mirror)
    if fits(config):
        sample = torch.cat([drawn.batch(step).values.flatten(0, 1) for step in range(FOLDED_ON)])
        fold(tokenizer, sample.double().numpy())
    tokenizer.to(job.device)

    def loss(step: int) -> tuple[Tensor, int]:
        batch = drawn.batch(step).to(job.device)
        return tokenizer_loss(tokenizer, batch), batch.cut.numel() * job.window

    def validate() -> float:
        return float(torch.stack([tokenizer_loss(tokenizer, batch) for batch in held_out]).mean())

    def figures() -> dict[str, float]:
        load_weights(tokenizer, job.out / WEIGHTS_FILE)
        with torch.no_grad():
            return token_use(tokenizer.eval(), held_out)

    return job.run("tokenizer", Task(tokenizer, loss, validate, lambda: _save(tokenizer, job.out)), figures)


def train_decoder(config: DecoderConfig, tokenizer: KronosTokenizer, job: Job) -> Progression:
    """Train a decoder on the tokens of a tokenizer; `out` becomes what `python -m export --model` takes.

    Only tokens after the cut are scored: those before it are normalised by figures that their own future
    went into, and a model that learnt from them would expect prices to return to the mean.
    """
    check_pair(config, tokenizer.config)
    decoder = KronosDecoder(config)
    randomise(decoder, job.schedule.seed)
    decoder.to(job.device)
    tokenizer.to(job.device).eval().requires_grad_(False)
    drawn, held_out = job.samplers(mirror=job.mirror)

    def nll(batch: Batch) -> Tensor:
        s1, s2 = tokenizer.encode(batch.values)
        return weighted_mean(token_nll(decoder, s1, s2, batch.stamp).candle, batch.future)

    def loss(step: int) -> tuple[Tensor, int]:
        batch = drawn.batch(step).to(job.device)
        return nll(batch), batch.cut.numel() * job.window

    def validate() -> float:
        return float(torch.stack([nll(batch) for batch in held_out]).mean())

    return job.run("decoder", Task(decoder, loss, validate, lambda: _save(decoder, job.out)))


class EventModel(nn.Module):
    """A frozen decoder with low-rank updates, and the EventEncoder that feeds it."""

    def __init__(self, decoder: KronosDecoder) -> None:
        super().__init__()
        add_lora(decoder)
        self.decoder = decoder
        self.encoder = EventEncoder(decoder.config.d_model)
        with torch.no_grad():
            for parameter in self.encoder.parameters():
                parameter.div_(ENCODER_GAIN)

    def embedding(self, events: Tensor) -> Tensor:
        """What is added to the token embedding, (B, L, d_model)."""
        embedded: Tensor = self.encoder(events) * ENCODER_GAIN
        return embedded

    def trained_encoder(self) -> EventEncoder:
        """The EventEncoder as it is exported, with the gain in its weights."""
        encoder = copy.deepcopy(self.encoder)
        with torch.no_grad():
            for parameter in encoder.parameters():
                parameter.mul_(ENCODER_GAIN)
        return encoder

    def nll(self, tokenizer: KronosTokenizer, batch: Batch) -> Tensor:
        """Mean negative log-likelihood of the candles after the cut, those of a release weighted."""
        assert batch.events is not None
        assert batch.event_steps is not None
        s1, s2 = tokenizer.encode(batch.values)
        scored = token_nll(self.decoder, s1, s2, batch.stamp, self.embedding(batch.events)).candle
        weights = batch.future * (1 + (EVENT_WEIGHT - 1) * batch.event_steps[:, 1:])
        return weighted_mean(scored, weights)


def train_events(checkpoint: Checkpoint, job: Job) -> Progression:
    """Train an EventEncoder and a LoRA adapter on a frozen checkpoint.

    `out` gets `events.safetensors` (alignment "next") and `adapter/`, for `python -m export`.
    """
    torch.manual_seed(job.schedule.seed)
    model = EventModel(checkpoint.decoder).to(job.device)
    tokenizer = checkpoint.tokenizer.to(job.device).requires_grad_(False)
    silent = silent_channels(job.training)
    with torch.no_grad():
        # What no candle of the training shows is given no effect, rather than that of a random weight.
        model.encoder.proj.weight[:, silent] = 0.0
    drawn, held_out = job.samplers(mirror=False)

    def loss(step: int) -> tuple[Tensor, int]:
        batch = drawn.batch(step).to(job.device)
        return model.nll(tokenizer, batch), batch.cut.numel() * job.window

    def validate() -> float:
        return float(torch.stack([model.nll(tokenizer, batch) for batch in held_out]).mean())

    def save() -> None:
        save_events(model.trained_encoder().half(), "next", job.out / "events.safetensors")
        save_lora(model.decoder, checkpoint.decoder_source.name, job.out / "adapter")

    settings = job.settings | {"silent_channels": silent}
    return Job(**vars(job) | {"settings": settings}).run("events", Task(model, loss, validate, save))


def silent_channels(stretches: Sequence[Stretch]) -> list[int]:
    """Event channels that are 0 in every row."""
    seen = np.stack([each.events.any(axis=0) for each in stretches if each.events is not None])
    return [int(channel) for channel in np.flatnonzero(~seen.any(axis=0))]


def _save(module: KronosDecoder | KronosTokenizer, folder: Path) -> None:
    """Write a checkpoint in float16: half the size, and what the next training and the export start from."""
    save_checkpoint(copy.deepcopy(module).half(), folder)
