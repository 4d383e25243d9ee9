"""The encoder itself fine-tuned for the labels, together with a head: labels first spread, then self-training.

    model = fit_finetuned(encoder, head, table, hidden, known, settings, compute, seed=0)
    logits = model.logits(images)             # uint8 [N, C, H, W] → float32 [N, K]

`head` is what a classifier on the frozen features knows (that of the arm `encoder-propagate`): training starts from it,
and what it says of every row are the first targets. In each step labelled images pass under weak
augmentation and unlabelled ones under strong; the latter's targets go over from the first ones to what the moving
average of the network says of the weakly augmented images (FixMatch: Sohn et al., NeurIPS 2020; its threshold and
class frequencies by classify/selftraining.py). The weights that stay are the average's last. Extra samples (minted
ones) take the place of labelled images of their class, as in training from scratch; all else stays as it is.
"""

import copy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from augmint.augment import policy
from augmint.classify.logistic import LogisticHead
from augmint.classify.scratch import Extra, Samples, extra_share, rising_then_falling
from augmint.classify.selftraining import Confidence, align, soft_cross_entropy, spread_out
from augmint.classify.student import Student
from augmint.config import ClassifySettings, FinetuneSettings
from augmint.data.table import Batch, ImageTable
from augmint.networks.average import Average
from augmint.represent.encoder import Encoder, Form, build, form_from
from augmint.seeding import Draws
from augmint.train import Compute, Plan, checkpoint, fit
from augmint.train.loop import Rows

KIND = "finetuned"
Head = LogisticHead | Student
LABELLED = 4  # unlabelled images for each labelled one of a batch


class Tuned(nn.Module):
    """Images 0 … 1 [N, C, H, W] → logits [N, K]: backbone, unit length, standardised, head."""

    mean: Tensor
    scale: Tensor

    def __init__(self, backbone: nn.Module, head: Head) -> None:
        super().__init__()
        self.backbone = backbone
        self.register_buffer("mean", head.mean.clone())
        self.register_buffer("scale", head.scale.clone())
        self.head = head.module()

    def forward(self, images: Tensor) -> Tensor:
        hidden = F.normalize(self.backbone(images).float(), dim=1)
        return cast(Tensor, self.head((hidden - self.mean) / self.scale))


@dataclass(frozen=True, eq=False)
class FinetunedEncoder:
    """An encoder and its head as one network; `logits` takes uint8 images."""

    form: Form
    network: Tuned
    compute: Compute

    @torch.inference_mode()
    def logits(self, images: Tensor | ImageTable, batch: int = 1024) -> Tensor:
        """uint8 [N, C, H, W] (or a table) → float32 [N, K] on the CPU."""
        self.network.eval()
        found = torch.empty(len(images), list(self.network.head.parameters())[-1].numel())
        for rows in torch.split(torch.arange(len(images)), batch) if len(images) else ():
            chunk = images.gather(rows) if isinstance(images, ImageTable) else images[rows]
            with self.compute.autocast():
                x = chunk.to(self.compute.device).float().div_(255).contiguous(memory_format=torch.channels_last)
                found[rows] = self.network(x).float().cpu()
        return found

    def save(self, path: Path) -> None:
        """One safetensors file: weights, and the form in its header."""
        checkpoint.save(path, {"kind": KIND, "form": asdict(self.form), "weights": self.network.state_dict()})

    @staticmethod
    def load(path: Path, compute: Compute) -> "FinetunedEncoder":
        """What `save` wrote."""
        state = checkpoint.load(path)
        form, weights = form_from(state["form"]), state["weights"]
        network = Tuned(build(form)[0], _head_of(weights))
        network.load_state_dict(weights)
        return FinetunedEncoder(form, compute.place(network).eval(), compute)


def _head_of(weights: dict[str, Tensor]) -> Head:
    layers, mean, scale = (v for k, v in weights.items() if k.startswith("head.")), weights["mean"], weights["scale"]
    if "head.weight" in weights:
        return LogisticHead(weights["head.weight"], weights["head.bias"], mean, scale)
    return Student(mean, scale, *layers)


def _optimiser(network: Tuned, settings: FinetuneSettings) -> torch.optim.Optimizer:
    """AdamW with rates of their own for encoder and head, no weight decay on norms and biases."""
    groups = []
    for part, rate in ((network.backbone, settings.lr), (network.head, settings.head_lr)):
        for decays in (True, False):
            chosen = [p for p in part.parameters() if (p.ndim > 1) == decays]
            decay = settings.weight_decay if decays else 0.0
            groups.append({"params": chosen, "lr": rate, "rate": rate, "weight_decay": decay})
    return torch.optim.AdamW(groups, fused=True)


class SelfTraining:
    """One training: what a step needs. `soft` [N, K] are the first targets of all rows of the table, `own` the labelled
    rows, `rows` all that may be seen, the labelled among them."""

    def __init__(
        self, network: Tuned, table: ImageTable, soft: Tensor, own: Tensor, rows: Tensor, settings: FinetuneSettings,
        compute: Compute, seed: int, extra: Extra | None = None, mixing: ClassifySettings | None = None,
    ) -> None:  # fmt: skip
        self.network, self.table, self.settings, self.compute = network, table, settings, compute
        self.soft, self.own, self.rows = (t.to(compute.device) for t in (soft, own, rows))
        self.average = Average(network, settings.momentum)
        self.state = Confidence.of(self.soft[self.rows], settings.momentum)
        self.prior = self.state.shares  # what propagation found: no class is assumed to be as frequent as others
        self.optimiser = _optimiser(network, settings)
        self.weak, self.strong = policy("weak"), policy(settings.policy)
        self.labelled = Rows(len(own), seed, "finetune/labelled", compute.device)
        self.mixing = mixing or ClassifySettings()
        self.samples = Samples(table.gather(own, compute.device), self.soft[self.own], extra, self.mixing)

    def _logits(self, network: nn.Module, images: Tensor) -> Tensor:
        with self.compute.autocast():
            return cast(Tensor, network(images.contiguous(memory_format=torch.channels_last))).float()

    @torch.no_grad()
    def targets(self, rows: Tensor, images: Tensor, progress: float) -> Tensor:
        """[B, K]: from the first targets to the average's own opinion of weakly augmented images, aligned."""
        opinion = self._logits(self.average.module, images).softmax(1)
        self.state.follow(opinion)
        opinion = align(opinion, self.state.shares, self.prior, self.settings.alignment)
        share = min(1.0, progress / self.settings.trust) if self.settings.trust else 1.0
        return self.soft[rows].lerp(opinion, share)

    def step(self, chosen: Tensor, draws: Draws, progress: float) -> dict[str, Tensor]:
        """One update on a batch of unlabelled images and a quarter as many labelled ones."""
        rows, device = self.rows[chosen], self.compute.device
        known = self.labelled.at(draws.step, max(1, len(rows) // LABELLED))
        images = self.table.gather(rows, device)
        place = Draws(draws.seed, f"{draws.stream}/labelled", draws.step, torch.arange(len(known), device=device))
        sure = self.weak(self.samples.batch(known, place, extra_share(progress, self.mixing)), place)
        assert sure.targets is not None and sure.weights is not None
        weak, strong = (augment(Batch(images), draws).images for augment in (self.weak, self.strong))
        targets = self.targets(rows, weak, progress)
        self.network.train()
        logits = self._logits(self.network, torch.cat([sure.images, strong]))
        own = soft_cross_entropy(logits[: len(known)], sure.targets, sure.weights / sure.weights.mean())
        counts = self.state.counts(targets)
        others = soft_cross_entropy(logits[len(known) :], targets, counts)
        self._descend(own + others, progress)
        return {"loss": own.detach(), "unlabelled": others.detach(), "counted": counts.mean()}

    def _descend(self, loss: Tensor, progress: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = group["rate"] * rising_then_falling(progress)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.average.update(self.network)


def fit_finetuned(
    encoder: Encoder,
    head: Head,
    table: ImageTable,
    hidden: Tensor,
    known: Tensor,
    settings: FinetuneSettings,
    compute: Compute,
    *,
    seed: int,
    allowed: Tensor | None = None,
    extra: Extra | None = None,
    mixing: ClassifySettings | None = None,
) -> FinetunedEncoder:
    """Train for `settings.images` unlabelled images; the encoder given is left as it is.

    head      on the encoder's hidden vectors [N, D], which are those of all rows of the table
    known     int64 [N], the labels, -1 = unlabelled; the table's own are not read
    allowed   bool [N]: the unlabelled rows that may be seen; default all
    extra     samples that take the place of labelled ones; `mixing` says of them share of a batch, weight and fading
    """
    soft = spread_out(head.logits(hidden), known, settings.temperature)
    own = torch.nonzero(known >= 0)[:, 0]
    rows = torch.arange(len(table)) if allowed is None else torch.nonzero(allowed | (known >= 0))[:, 0]
    network = compute.place(Tuned(copy.deepcopy(encoder.network), head).requires_grad_(True))
    training = SelfTraining(network, table, soft, own, rows, settings, compute, seed, extra, mixing)
    plan = Plan(settings.images, settings.batch, seed, "finetune", compute.device)
    kept = {name: getattr(training, name) for name in ("network", "optimiser", "average", "state")}
    fit(training.step, len(rows), plan, kept)
    return FinetunedEncoder(encoder.form, training.average.module, compute)
