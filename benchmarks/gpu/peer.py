"""lightly's own way to SimCLR on CIFAR-10, as its benchmark has it, on the same images and device.

    trained = train(images, device, minutes=5, ...)     # its transform, loader, network, head and loss

Workers decode and augment with PIL, SGD 0.06 · batch / 128, momentum 0.9, weight decay 5e-4, cosine. Two things are
done for it that its benchmark leaves out, so that only the way of working differs: bf16 and channels_last.
"""

import time
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from training import Pause

from augmint.train import Compute, checkpoint, set_rate
from augmint.train.compute import cores

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # what its transform normalises by


def missing() -> str | None:
    """Why lightly cannot be compared with here, or None."""
    try:
        import lightly.loss
        import lightly.models.modules
        import lightly.transforms  # noqa: F401
    except Exception as error:  # a torchvision that does not fit its torch fails in ways of its own
        return f"lightly cannot be imported here ({type(error).__name__}: {error})"
    return None


class Views(Dataset[list[Tensor]]):
    """Two views of an image by lightly's transform."""

    def __init__(self, images: Tensor) -> None:
        from lightly.transforms import SimCLRTransform

        self.pixels = images.permute(0, 2, 3, 1).contiguous().numpy()
        self.transform = SimCLRTransform(input_size=images.shape[-1], cj_strength=0.5, gaussian_blur=0.0)

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, row: int) -> list[Tensor]:
        views: list[Tensor] = self.transform(Image.fromarray(self.pixels[row]))
        return views


class Normalised(nn.Module):
    """lightly's ResNet-18 for images of 0 … 1, as `evaluate` feeds them."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        for name, values in (("mean", MEAN), ("std", STD)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.backbone((images - self.mean) / self.std).flatten(1)
        return found


class SimCLR(nn.Module):
    """Backbone and head."""

    def __init__(self) -> None:
        from lightly.models import ResNetGenerator
        from lightly.models.modules import SimCLRProjectionHead

        super().__init__()
        layers = list(ResNetGenerator("resnet-18").children())[:-1]
        self.backbone = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1))
        self.head = SimCLRProjectionHead(512, 512, 128)

    def forward(self, views: Tensor) -> Tensor:
        found: Tensor = self.head(self.backbone(views).flatten(1))
        return found


class Training:
    """Model, optimiser and loader; an epoch at a time."""

    def __init__(self, images: Tensor, compute: Compute, batch: int, workers: int | None = None) -> None:
        from lightly.loss import NTXentLoss

        torch.manual_seed(0)
        workers = cores() if workers is None else workers
        self.compute, self.rate = compute, 0.06 * batch / 128
        self.model = compute.place(SimCLR())
        self.criterion = NTXentLoss()
        self.optimiser = torch.optim.SGD(self.model.parameters(), self.rate, momentum=0.9, weight_decay=5e-4)
        kinder = {"pin_memory": compute.device.type == "cuda", "persistent_workers": workers > 0}
        self.loader: Any = DataLoader(
            Views(images),
            batch,
            shuffle=True,
            drop_last=True,
            num_workers=workers,
            **kinder,  # type: ignore[arg-type]
        )

    def epoch(self, share: float) -> None:
        """One epoch at `share` (0 … 1) of the training."""
        set_rate(self.optimiser, self.rate * float((1 + torch.cos(torch.tensor(share * torch.pi))) / 2))
        self.model.train()
        for first, second in self.loader:
            views = [view.to(self.compute.device, non_blocking=True) for view in (first, second)]
            with self.compute.autocast():
                loss = self.criterion(self.model(views[0]), self.model(views[1]))
            self.optimiser.zero_grad()
            torch.autograd.backward(loss)
            self.optimiser.step()
        if self.compute.device.type == "cuda":
            torch.cuda.synchronize()

    def state(self) -> dict[str, Any]:
        return {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])


def speed(training: Training, epochs: int) -> float:
    """Seconds an epoch: the best of a few, after one that starts the workers."""
    found = []
    for _ in range(epochs + 1):
        start = time.monotonic()
        training.epoch(1.0)  # rate 0
        found.append(time.monotonic() - start)
    return min(found[1:])


def train(training: Training, epochs: int, path: Path, pause: Pause) -> tuple[nn.Module, float]:
    """All epochs, with a checkpoint after each that would be a pity to lose; the network and the seconds it took."""
    done, seconds = 0, 0.0
    if path.exists():
        kept = checkpoint.load(path)
        training.restore(kept["training"])
        done, seconds = kept["epoch"], kept["seconds"]
    written = start = time.monotonic()
    for epoch in range(done, epochs):
        training.epoch(epoch / epochs)
        now = time.monotonic()
        if epoch + 1 == epochs or now > pause.deadline or now - written >= pause.every:
            facts = {"epoch": epoch + 1, "seconds": seconds + now - start}
            checkpoint.save(path, {**facts, "training": training.state()})
            written = now
            pause.look(epoch + 1, epoch + 1) if epoch + 1 < epochs else pause.saved()
    return Normalised(training.model.backbone).to(training.compute.device), seconds + time.monotonic() - start
