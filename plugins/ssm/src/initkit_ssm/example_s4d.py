"""An S4D classifier that reads the handwritten digits of scikit-learn pixel by pixel.

initkit apply --plugin ssm examples/s4d.py
initkit compare examples/s4d.py      default start against the recipe, by training
python examples/s4d.py               trains from ssm/s4d and prints the accuracy
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor, nn

import initkit


class S4DKernel(nn.Module):
    """A diagonal state space model for each of H channels, B = 1; one of each conjugate pair of modes is stored."""

    def __init__(self, channels: int, state: int) -> None:
        super().__init__()
        self.C = nn.Parameter(torch.randn(channels, state // 2, 2))
        self.log_dt = nn.Parameter(torch.randn(channels))
        self.log_A_real = nn.Parameter(torch.randn(channels, state // 2))
        self.A_imag = nn.Parameter(torch.randn(channels, state // 2))

    def forward(self, length: int) -> Tensor:
        """Return the kernels, (H, length): 2 Re Σ C (exp(A dt) - 1)/A exp(A dt l)."""
        a = torch.complex(-torch.exp(self.log_A_real), self.A_imag)
        step = a * torch.exp(self.log_dt).unsqueeze(-1)
        c = torch.complex(self.C[..., 0], self.C[..., 1]) * torch.expm1(step) / a
        powers = torch.exp(step.unsqueeze(-1) * torch.arange(length, device=step.device))
        k: Tensor = 2 * torch.einsum("hm,hml->hl", c, powers).real
        return k


class S4D(nn.Module):
    """A causal convolution of each channel with its kernel, and D times the input."""

    def __init__(self, channels: int, state: int) -> None:
        super().__init__()
        self.D = nn.Parameter(torch.randn(channels))
        self.kernel = S4DKernel(channels, state)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, H) to the same."""
        length = x.shape[1]
        k = torch.fft.rfft(self.kernel(length), 2 * length)
        u = torch.fft.rfft(x.transpose(1, 2), 2 * length)
        y: Tensor = torch.fft.irfft(u * k, 2 * length)[..., :length].transpose(1, 2)
        return y + self.D * x


class Classifier(nn.Module):
    """S4D layers with residual connections; the last step decides."""

    def __init__(self, channels: int, state: int, layers: int, classes: int = 10) -> None:
        super().__init__()
        self.encoder = nn.Linear(1, channels)
        self.layers = nn.ModuleList(S4D(channels, state) for _ in range(layers))
        self.mixers = nn.ModuleList(nn.Linear(channels, channels) for _ in range(layers))
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(layers))
        self.head = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, 1) to logits (batch, classes)."""
        x = self.encoder(x)
        for layer, mixer, norm in zip(self.layers, self.mixers, self.norms, strict=True):
            x = norm(x + mixer(nn.functional.gelu(layer(x))))
        logits: Tensor = self.head(x[:, -1])
        return logits


def model(channels: int = 32, state: int = 32, layers: int = 2) -> Classifier:
    """Build the network; ``--set-model state=64`` gives it more modes."""
    return Classifier(channels, state, layers)


@functools.cache
def digits(scale: int = 1) -> tuple[Tensor, Tensor]:
    """All 1,797 images as sequences of (8 scale)² pixels, (1797, length, 1), and their classes; shuffled once."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = torch.from_numpy(data.images).float().div(8).sub(1)
    images = images.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
    order = torch.from_numpy(initkit.Stream(0, "digits").permutation(len(images)))
    return images.reshape(len(images), -1, 1)[order], torch.from_numpy(data.target).long()[order]


TRAIN, BATCH = 1437, 64


def inputs() -> Tensor:
    """A batch of training images, for recipes and probes that look at data."""
    return digits()[0][:BATCH]


def loss(model: nn.Module, step: int = 0) -> Tensor:
    """Cross-entropy on the batch of a training step."""
    x, y = digits()
    epoch, batch = divmod(step, math.ceil(TRAIN / BATCH))
    order = torch.from_numpy(initkit.Stream(0, f"epoch {epoch}").permutation(TRAIN))
    rows = order[batch * BATCH : (batch + 1) * BATCH]
    return nn.functional.cross_entropy(model(x[rows]), y[rows])


def score(model: nn.Module) -> float:
    """Accuracy on the 360 images that are not trained on."""
    x, y = digits()
    with torch.no_grad():
        return float((model(x[TRAIN:]).argmax(-1) == y[TRAIN:]).float().mean())


def optimizer(model: nn.Module) -> torch.optim.Optimizer:
    """AdamW; the parameters of the dynamics learn slower and do not decay, as is usual for these layers."""
    slow = [p for name, p in model.named_parameters() if name.endswith(("log_dt", "log_A_real", "A_imag"))]
    chosen = {id(p) for p in slow}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    groups = [{"params": rest, "weight_decay": 0.01}, {"params": slow, "lr": 1e-3, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=4e-3)


def main() -> None:
    """Train for five epochs from the recipe's start."""
    torch.manual_seed(0)
    net = model()
    print(initkit.apply(net, "ssm/s4d", seed=0))
    steps = optimizer(net)
    for step in range(5 * math.ceil(TRAIN / BATCH)):
        steps.zero_grad()
        loss(net, step).backward()  # type: ignore[no-untyped-call]
        steps.step()
    print(f"accuracy on images not seen: {score(net.eval()):.3f}")


if __name__ == "__main__":
    main()
