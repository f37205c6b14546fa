"""Arguments and options that several commands take, said once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from initkit_cli import completing
from initkit_cli.plugin_paths import adopted

Words = list[str] | None


def examples(*commands: str, more: str = "") -> str:
    """The end of a command's help: words, and commands as a user would type them."""
    return "\n\n".join(filter(None, [more, "Examples:" if len(commands) > 1 else "Example:", *commands]))


def _adopted_each(context: typer.Context, words: Words) -> Words:
    # While a shell completes nothing is loaded and nothing may fail.
    return words if words is None or context.resilient_parsing else [adopted(word) for word in words]


def _adopted_one(context: typer.Context, word: str | None) -> str | None:
    return word if word is None or context.resilient_parsing else adopted(word)


def _option(metavar: str, text: str, complete: Callable[..., Any], callback: Callable[..., Any] | None = None) -> Any:
    return typer.Option(metavar=metavar, help=text, autocompletion=complete, callback=callback)


PLUGIN = _option(
    "NAME",
    "A plugin, or the path of one: ./mine.py; alone, its default recipe. May repeat.",
    completing.plugins,
    _adopted_each,
)
PROBING = _option("NAME", "Take the probes of this plugin too. May repeat.", completing.plugins, _adopted_each)
RECIPE = _option(
    "RECIPE", "A recipe of the plugin before it, or PLUGIN/RECIPE. May repeat, in order.", completing.recipes
)
AROUND = _option("RECIPE", "Show the model before and after this recipe. May repeat, in order.", completing.recipes)
START = _option(
    "START", "A start: default, a recipe, or recipes joined by + in order. The first is the base.", completing.recipes
)

OnePlugin = Annotated[
    str | None,
    _option("NAME", "Of this plugin alone: its name, or the path of one: ./mine.py.", completing.plugins, _adopted_one),
]
RecipeId = Annotated[
    str,
    typer.Argument(metavar="RECIPE", help="An id such as gnn/virgo.", autocompletion=completing.recipe_ids),
]
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
