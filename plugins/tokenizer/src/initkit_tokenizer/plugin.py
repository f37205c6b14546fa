"""The door of the tokenizer plugin: its cards. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

from initkit import Card, Need, hookimpl

TOKENIZER = Need(
    "tokenizer",
    loader="initkit_tokenizer.files:load_tokenizer",
    help="the new tokenizer: of transformers or tokenizers, a tokenizer.json, or a folder that holds one",
)
OLD = Need(
    "old_tokenizer",
    loader="initkit_tokenizer.files:load_tokenizer",
    help="the tokenizer that the model was made with",
)


@hookimpl
def initkit_recipes() -> list[Card]:
    """Cards, the default first."""
    return [
        Card(
            "mean",
            "initkit_tokenizer.mean:Mean",
            "New rows at the mean of the old ones: they steal no more probability than log(1 + n/V).",
            needs=(TOKENIZER, OLD),
            bits="machine",
        ),
    ]


@hookimpl
def initkit_example() -> str:
    """A small Llama from one tokenizer family to another."""
    return str(Path(__file__).with_name("example.py"))
