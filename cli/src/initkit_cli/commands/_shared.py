"""Arguments and options that several commands take, said once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

Words = list[str] | None

Model = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="model.py, model.py:build or package.module:build.", show_default=False),
]
Settings = Annotated[
    Words, typer.Option("--set", metavar="NAME=VALUE", help="A recipe's option; RECIPE.NAME=VALUE if several have it.")
]
Data = Annotated[
    Words, typer.Option(metavar="NEED=FILE", help="Data that is needed: a file, or file.py:name. May repeat.")
]
SetModel = Annotated[
    Words, typer.Option(metavar="NAME=VALUE", help="An argument of the function that builds the model.")
]
Seed = Annotated[int, typer.Option(metavar="INT", help="Of every random number: 0 to 2**64 - 1.")]
Device = Annotated[str, typer.Option(metavar="DEVICE", help="Where heavy work runs: auto, cpu, cuda or cuda:N.")]
Weights = Annotated[str | None, typer.Option(metavar="FILE", help="Start from the tensors of a safetensors file.")]
Html = Annotated[str | None, typer.Option(metavar="FILE", help="Write one self-contained page as well.")]
ForcePage = Annotated[bool, typer.Option("--force", help="Replace an existing page.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def some(**words: Sequence[str] | None) -> dict[str, Any]:
    """Options that may repeat, as a request holds them: nothing given is an empty tuple."""
    return {name: tuple(given or ()) for name, given in words.items()}
