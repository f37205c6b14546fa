"""Trees to embed: complete, random, and the mammals of WordNet where Debian's ``wordnet-base`` is installed."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import numpy as np

NOUNS = Path("/usr/share/wordnet/data.noun")
MAMMAL = "01861778"


def complete(branches: int, depth: int) -> list[int]:
    """The parent array of a complete tree."""
    parents, level = [-1], [0]
    for _ in range(depth):
        below = []
        for node in level:
            for _ in range(branches):
                parents.append(node)
                below.append(len(parents) - 1)
        level = below
    return parents


def recursive(nodes: int, seed: int) -> np.ndarray:
    """The parent array of a random recursive tree: each node hangs on a random earlier one."""
    numbers = np.random.default_rng(seed)
    return np.concatenate([[-1], (numbers.random(nodes - 1) * np.arange(1, nodes)).astype(int)])


def mammals() -> list[tuple[str, str]] | None:
    """(hyponym, hypernym) among mammals, in the order of the file; None without WordNet."""
    if not NOUNS.is_file():
        return None
    above: dict[str, list[str]] = {}
    for line in NOUNS.read_text(encoding="latin-1").splitlines():
        if line.startswith("  "):
            continue
        words = line.split(" ")
        at = 4 + 2 * int(words[3], 16)
        pointers = [words[at + 1 + 4 * i : at + 5 + 4 * i] for i in range(int(words[at]))]
        above[words[0]] = [target for sign, target, *_ in pointers if sign == "@"]
    below: dict[str, list[str]] = {}
    for node, parents in above.items():
        for parent in parents:
            below.setdefault(parent, []).append(node)
    inside, queue = {MAMMAL}, deque([MAMMAL])
    while queue:
        for node in below.get(queue.popleft(), []):
            if node not in inside:
                inside.add(node)
                queue.append(node)
    return [(n, p) for n in above if n in inside and n != MAMMAL for p in above[n] if p in inside]
