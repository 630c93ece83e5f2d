"""Train the embedded model, or go on training it.

One process per core, each with rows of its own; they average their gradients at every step. The learning rate follows
the clock (warm-up, constant, linear decay over the last part), so that a run that is stopped for a while still ends
on time. `python train.py --help` names the arguments; README.md has the commands that made the shipped model.
"""

import argparse
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ.setdefault("KMP_BLOCKTIME", "0")  # waiting threads that spin slow every neighbour down
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import model as models
import torch
import torch.distributed as dist
from samples import RECIPES, Sampler, read_corpus
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

WARM_UP_STEPS = 20
REPORT_EVERY_S = 30
SAVE_EVERY_S = 150
HELD_OUT_TOKENS = 32_768


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    data: Path
    out: Path
    minutes: float
    resume: Path | None
    recipe: str
    context: int
    rows: int
    rate: float
    decay: float
    processes: int
    seed: int


class Optimisers:
    """Muon for the matrices, AdamW for embeddings, norms and biases, at one learning rate."""

    def __init__(self, model: models.Model, rate: float) -> None:
        matrices, rest = [], []
        for name, parameter in model.named_parameters():
            is_matrix = parameter.dim() == 2 and "emb" not in name
            (matrices if is_matrix else rest).append(parameter)
        self._rate = rate
        self._both: tuple[torch.optim.Optimizer, ...] = (
            torch.optim.Muon(
                matrices, lr=rate, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw"
            ),
            torch.optim.AdamW(rest, lr=rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
        )

    def step(self, factor: float) -> None:
        """Take one step at this share of the full rate, and forget the gradients."""
        for optimiser in self._both:
            for group in optimiser.param_groups:
                group["lr"] = self._rate * factor
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    def state(self) -> list[dict[str, object]]:
        """Return what a checkpoint keeps of them."""
        return [optimiser.state_dict() for optimiser in self._both]

    def restore(self, state: list[dict[str, object]]) -> None:
        """Go on where `state` was taken."""
        for optimiser, saved in zip(self._both, state, strict=True):
            optimiser.load_state_dict(saved)


class Run:
    """One process's share of a training run."""

    def __init__(self, options: Options, rank: int) -> None:
        self.options, self.rank = options, rank
        tokenizer = Tokenizer.from_file(str(options.data / "tokenizer.json"))
        corpus, recipe = options.data / "corpus.jsonl", RECIPES[options.recipe]
        self.model, self.step, self.tokens = models.Model(models.Shape()), 0, 0
        saved = None
        if options.resume:
            self.model, saved = models.load(options.resume)
            self.step, self.tokens = saved["step"], saved["tokens"]
        self.optimisers = Optimisers(self.model, options.rate)
        if saved:
            self.optimisers.restore(saved["opt"])
        seed = options.seed + self.step * options.processes + rank
        self.sampler = Sampler(
            read_corpus(corpus, "train"), tokenizer, options.context, recipe, seed
        )
        held_out = Sampler(read_corpus(corpus, "held"), tokenizer, options.context, recipe, 0)
        self.held_out = _tensors(*held_out.batch(HELD_OUT_TOKENS // options.context))
        self.loss = torch.compile(self._weighted_loss)

    def go(self) -> None:
        """Train until the time is up; the first process reports and saves."""
        started = reported = saved = time.monotonic()
        losses: list[float] = []
        done, first_step, first_tokens = 0.0, self.step, self.tokens
        while done < 1:
            done = self._agreed(
                min(1.0, (time.monotonic() - started) / (60 * self.options.minutes))
            )
            losses.append(self._take_step(self._factor(done, self.step - first_step)))
            now = time.monotonic()
            if self.rank == 0 and now - reported > REPORT_EVERY_S:
                speed = (self.tokens - first_tokens) / (now - started)
                mean = sum(losses) / len(losses)
                print(
                    f"{now - started:6.0f} s, {self.tokens / 1e6:.2f} M tokens, {mean=:.3f}, "
                    f"{speed:.0f} tokens/s",
                    flush=True,
                )
                reported, losses = now, []
            if self.rank == 0 and (now - saved > SAVE_EVERY_S or done >= 1):
                self._evaluate_and_save()
                saved = now

    def _take_step(self, factor: float) -> float:
        loss = self.loss(*_tensors(*self.sampler.batch(self.options.rows)))
        loss.backward()
        self._average_gradients()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimisers.step(factor)
        self.step += 1
        self.tokens += self.options.processes * self.options.rows * self.options.context
        return float(loss.item())

    def _factor(self, done: float, steps: int) -> float:
        """Return the share of the full learning rate that holds now."""
        decay = self.options.decay
        late = max(0.02, (1 - done) / decay) if decay else 1.0
        return min(1.0, (steps + 1) / WARM_UP_STEPS) * min(1.0, late)

    def _average_gradients(self) -> None:
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self.options.processes
        parts = flat.split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def _agreed(self, done: float) -> float:
        """Return the first process's clock, so that all stop at the same step."""
        shared = torch.tensor([done])
        dist.broadcast(shared, 0)
        return float(shared.item())

    def _token_losses(self, ids: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.model(ids[:, :-1], torch.bfloat16)
        flat = F.cross_entropy(
            logits.reshape(-1, logits.shape[-1]).float(), ids[:, 1:].reshape(-1), reduction="none"
        )
        return flat.view(ids.shape[0], -1)

    def _weighted_loss(self, ids: Tensor, weights: Tensor) -> Tensor:
        return (self._token_losses(ids) * weights[:, 1:]).sum() / weights[:, 1:].sum()

    @torch.no_grad()
    def _evaluate_and_save(self) -> None:
        ids, weights = self.held_out[0], self.held_out[1][:, 1:]
        losses = torch.cat([self._token_losses(rows) for rows in ids.split(4)])
        in_middle = weights >= RECIPES[self.options.recipe].middle_weight
        print(
            f"held out: {losses[weights > 0].mean():.3f}, middles {losses[in_middle].mean():.3f}",
            flush=True,
        )
        models.save(
            self.options.out,
            self.model,
            opt=self.optimisers.state(),
            step=self.step,
            tokens=self.tokens,
        )


def _tensors(*arrays: object) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(array) for array in arrays)


def _work(rank: int, options: Options, meeting_point: str) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    dist.init_process_group(
        "gloo", init_method=meeting_point, rank=rank, world_size=options.processes
    )
    Run(options, rank).go()
    dist.destroy_process_group()


def _options() -> Options:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="what prepare.py wrote")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write")
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--resume", type=Path, help="checkpoint to go on from")
    parser.add_argument("--recipe", choices=sorted(RECIPES), default="long-run")
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--rows", type=int, default=8, help="of one process in one step")
    parser.add_argument("--rate", type=float, default=4e-3)
    parser.add_argument("--decay", type=float, default=0.35, help="share of the time; 0: none")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    return Options(**vars(parser.parse_args()))


def main() -> None:
    """Start the processes and wait for them."""
    options = _options()
    print(asdict(options), flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    meeting_point = options.out.with_suffix(".meeting").absolute()
    meeting_point.unlink(missing_ok=True)
    torch.multiprocessing.spawn(
        _work, (options, f"file://{meeting_point}"), nprocs=options.processes
    )


if __name__ == "__main__":
    main()
