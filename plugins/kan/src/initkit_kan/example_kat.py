"""A network with group-rational activations that reads the handwritten digits of scikit-learn.

initkit apply --plugin kan examples/kat.py                       coefficients and linear layers by kan/kat
initkit apply --plugin kan --recipe from_mlp examples/kat.py     the function of a trained GELU network, kept
initkit inspect --probe kan/rational examples/kat.py             what each rational layer starts as
python examples/kat.py                                           converts the trained network and compares accuracies

The data need scikit-learn: pip install scikit-learn
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn

import initkit

KNOWN = 1437  # four of five images are trained on


class KAT_Group(nn.Module):
    """KAT's rational layer in the form of its kernels: F(x) = Σ a_i x^i/(1 + Σ |b_i| |x|^i), b by group of channels."""

    def __init__(self, num_groups: int = 8) -> None:
        super().__init__()
        self.num_groups, self.order = num_groups, (5, 4)
        self.weight_numerator = nn.Parameter(torch.randn(1, 6))
        self.weight_denominator = nn.Parameter(torch.randn(num_groups, 4))

    def forward(self, x: Tensor) -> Tensor:
        """(..., channels) to the same."""
        z = x.reshape(*x.shape[:-1], self.num_groups, -1)
        powers = torch.stack([z**i for i in range(6)], -1)
        top = powers @ self.weight_numerator[0]
        below = 1 + (powers[..., 1:5].abs() @ self.weight_denominator.abs().unsqueeze(-1)).squeeze(-1)
        return (top / below).flatten(-2)


class Block(nn.Module):
    """The MLP of a transformer, a residual connection around it."""

    def __init__(self, width: int, hidden: int, rational: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.act1 = KAT_Group() if rational else nn.Identity()
        self.fc1 = nn.Linear(width, hidden)
        self.act2 = KAT_Group() if rational else nn.GELU()
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, width) to the same."""
        out: Tensor = x + self.fc2(self.act2(self.fc1(self.act1(self.norm(x)))))
        return out


class Classifier(nn.Module):
    """Pixels, blocks, classes."""

    def __init__(self, width: int, layers: int, rational: bool) -> None:
        super().__init__()
        self.embed = nn.Linear(64, width)
        self.blocks = nn.Sequential(*(Block(width, 2 * width, rational) for _ in range(layers)))
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 64) to logits (batch, 10)."""
        logits: Tensor = self.head(self.blocks(self.embed(x)))
        return logits


def model(width: int = 64, layers: int = 2) -> Classifier:
    """Build the rational network; ``--set-model layers=4`` makes it deeper."""
    return Classifier(width, layers, rational=True)


@functools.cache
def digits() -> tuple[Tensor, Tensor]:
    """All 1,797 images as rows of pixels in [-1, 1], and their classes; shuffled once."""
    from sklearn.datasets import load_digits

    data = load_digits()
    order = torch.from_numpy(initkit.Stream(0, "digits").permutation(len(data.target)))
    return torch.from_numpy(data.data).float().div(8).sub(1)[order], torch.from_numpy(data.target).long()[order]


def inputs() -> Tensor:
    """A batch of known images."""
    return digits()[0][:64]


def loss(model: nn.Module) -> Tensor:
    """Cross-entropy on the known images."""
    x, y = digits()
    return nn.functional.cross_entropy(model(x[:KNOWN]), y[:KNOWN])


def score(model: nn.Module) -> float:
    """Accuracy on the images that are not trained on."""
    x, y = digits()
    with torch.no_grad():
        return float((model(x[KNOWN:]).argmax(-1) == y[KNOWN:]).float().mean())


def mlp() -> Classifier:
    """The same network with GELU, trained: what ``kan/from_mlp`` converts."""
    return trained(60)


@functools.cache
def trained(count: int) -> Classifier:
    """The GELU network after some steps of Adam."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Classifier(64, 2, rational=False)
    steps = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(count):
        steps.zero_grad()
        loss(net).backward()  # type: ignore[no-untyped-call]
        steps.step()
    return net.eval()


def main() -> None:
    """Convert the trained network."""
    net = model()
    initkit.apply(net, "kan/from_mlp", mlp=mlp(), seed=0)
    print(f"accuracy on images not seen: {score(mlp()):.3f} with GELU, {score(net):.3f} with rational layers")


if __name__ == "__main__":
    main()
