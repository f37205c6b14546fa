"""A Poincaré embedding of the carnivores: 143 names of a real taxonomy as points of a ball of geoopt.

initkit apply --plugin poincare --recipe sarkar example.py
"""

from __future__ import annotations

import geoopt
import torch
from torch import Tensor, nn
from torch.nn import functional

TAXONOMY = """
Carnivora
  Feliformia
    Felidae
      Pantherinae
        Panthera
          lion, tiger, leopard, jaguar, snow leopard
        Neofelis
          clouded leopard
      Felinae
        Felis
          wildcat, cat, sand cat, jungle cat, black-footed cat
        Lynx
          Eurasian lynx, Iberian lynx, Canada lynx, bobcat
        Leopardus
          ocelot, margay, oncilla, kodkod
        Puma
          cougar, jaguarundi
        Acinonyx
          cheetah
    Hyaenidae
      Crocuta
        spotted hyena
      Hyaena
        striped hyena, brown hyena
      Proteles
        aardwolf
    Herpestidae
      Suricata
        meerkat
      Herpestes
        Egyptian mongoose, slender mongoose, Indian grey mongoose
      Mungos
        banded mongoose
    Viverridae
      Genetta
        common genet, rusty-spotted genet
      Arctictis
        binturong
      Paradoxurus
        Asian palm civet
    Eupleridae
      Cryptoprocta
        fossa
  Caniformia
    Canidae
      Canis
        wolf, dog, coyote, golden jackal
      Vulpes
        red fox, Arctic fox, fennec fox, swift fox
      Lycaon
        African wild dog
      Cuon
        dhole
      Chrysocyon
        maned wolf
    Ursidae
      Ursus
        brown bear, polar bear, American black bear, Asian black bear
      Ailuropoda
        giant panda
      Tremarctos
        spectacled bear
    Mustelidae
      Mustelinae
        Mustela
          weasel, stoat, polecat, European mink
      Lutrinae
        Lutra
          Eurasian otter
        Enhydra
          sea otter
        Pteronura
          giant otter
      Guloninae
        Gulo
          wolverine
        Martes
          pine marten, stone marten, sable
      Melinae
        Meles
          badger
    Procyonidae
      Procyon
        raccoon
      Nasua
        coati
      Potos
        kinkajou
    Mephitidae
      Mephitis
        striped skunk
    Ailuridae
      Ailurus
        red panda
    Pinnipedia
      Phocidae
        Phoca
          harbour seal
        Halichoerus
          grey seal
        Mirounga
          southern elephant seal, northern elephant seal
      Otariidae
        Zalophus
          California sea lion
        Arctocephalus
          brown fur seal
      Odobenidae
        walrus
"""


def read(text: str) -> list[tuple[str, str]]:
    """(child, parent) of an indented list; names behind commas share their parent."""
    edges: list[tuple[str, str]] = []
    above: list[str] = []
    for line in text.strip("\n").splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        names = [name.strip() for name in line.split(",")]
        edges += [(name, above[depth - 1]) for name in names if depth]
        above[depth:] = [names[0]]
    return edges


tree = read(TAXONOMY)  # what poincare/sarkar asks for
nodes = ["Carnivora", *(child for child, _ in tree)]  # the name of each row
row = {name: i for i, name in enumerate(nodes)}
pairs = torch.tensor([(row[child], row[parent]) for child, parent in tree])


class PoincareEmbedding(nn.Module):
    """A table of points; the answer is a matrix of distances."""

    def __init__(self, rows: int, dim: int) -> None:
        super().__init__()
        self.ball = geoopt.PoincareBall(c=1.0)
        self.points = geoopt.ManifoldParameter(torch.zeros(rows, dim), manifold=self.ball)

    def forward(self, rows: Tensor) -> Tensor:
        """Distances (len(rows), all rows)."""
        distances: Tensor = self.ball.dist(self.points[rows].unsqueeze(1), self.points.unsqueeze(0))
        return distances


def model(dim: int = 10) -> PoincareEmbedding:
    """Build the table; ``--set-model dim=2`` makes it one of the disc."""
    return PoincareEmbedding(len(nodes), dim)


inputs = torch.arange(len(nodes))  # what the model is called with, for inspect


def loss(model: PoincareEmbedding) -> Tensor:
    """Each name's parent is to be nearer than any other name (Nickel & Kiela, 2017)."""
    distances = model(pairs[:, 0])
    own = functional.one_hot(pairs[:, 0], len(nodes)).bool()
    return functional.cross_entropy(-distances.masked_fill(own, 1e4), pairs[:, 1])


def score(model: PoincareEmbedding) -> float:
    """Share of names whose parent is among the nearest, as many as the name has neighbours."""
    distances = model(inputs).fill_diagonal_(torch.inf)
    near = torch.zeros(len(nodes), len(nodes), dtype=torch.bool)
    near[pairs[:, 0], pairs[:, 1]] = near[pairs[:, 1], pairs[:, 0]] = True
    found = [near[i, distances[i].topk(int(near[i].sum()), largest=False).indices].float().mean() for i in inputs]
    return float(torch.stack(found).mean())


def optimizer(model: PoincareEmbedding) -> torch.optim.Optimizer:
    """Riemannian gradient descent, which keeps points in the ball."""
    found: torch.optim.Optimizer = geoopt.optim.RiemannianSGD(model.parameters(), lr=0.3)
    return found
