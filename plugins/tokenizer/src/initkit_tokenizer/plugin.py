"""The door of the tokenizer plugin: its cards. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from initkit import Card, Need, Probe, hookimpl
from initkit_tokenizer.cards_more import auto_card, more_cards

if TYPE_CHECKING:
    from initkit import CheckpointFolder

TOKENIZER = Need(
    "tokenizer",
    loader="initkit_tokenizer.files:load_tokenizer",
    help="the new tokenizer: of transformers, tokenizers, sentencepiece or tiktoken, or the path of its file or folder",
)
OLD = Need(
    "old_tokenizer",
    loader="initkit_tokenizer.files:load_tokenizer",
    help="the tokenizer that the model was made with",
)
DESCRIPTIONS = Need(
    "descriptions",
    loader="initkit_tokenizer.files:load_descriptions",
    help="new tokens with a text that describes each",
)
NAMES = Need(
    "names",
    loader="initkit_tokenizer.corpus:load_corpus",
    help="many names, each of as many pieces as there are new tokens",
    optional=True,
)
CORPUS = Need(
    "corpus",
    loader="initkit_tokenizer.corpus:load_corpus",
    help="text that the new tokens occur in: a text file with a text a line, or strings",
)
COUNTS = Need("counts", help="how often each token occurs: a number for each id, or by token", optional=True)
BOTH = (TOKENIZER, OLD)


@hookimpl
def initkit_recipes() -> list[Card]:
    """Cards, the default first."""
    return [
        auto_card(BOTH),
        *more_cards(BOTH),
        Card(
            "mean",
            "initkit_tokenizer.mean:Mean",
            "New rows at the mean of the old ones: they steal no more probability than log(1 + n/V).",
            needs=BOTH,
            bits="machine",
        ),
        Card(
            "subword",
            "initkit_tokenizer.subword:Subword",
            "Each new token starts as the mean of the old tokens that spell it.",
            needs=BOTH,
            bits="machine",
        ),
        Card(
            "multivariate",
            "initkit_tokenizer.gaussian:Multivariate",
            "New rows around the mean with the old rows' covariance, scaled down: distinct, near the mean's bound.",
            needs=BOTH,
            bits="machine",
        ),
        Card(
            "noisy_mean",
            "initkit_tokenizer.gaussian:NoisyMean",
            "The mean row with noise of length one, so that new tokens differ.",
            needs=BOTH,
            bits="machine",
        ),
        Card(
            "normal_per_dim",
            "initkit_tokenizer.gaussian:NormalPerDim",
            "New rows with the mean and spread of the old ones, dimension by dimension.",
            needs=BOTH,
            bits="machine",
        ),
        Card(
            "normal",
            "initkit_tokenizer.gaussian:NormalRows",
            "New rows N(0, σ²), as a model from scratch starts: what resizing does without a mean.",
            needs=BOTH,
            bits="machine",
        ),
        Card(
            "zeros",
            "initkit_tokenizer.gaussian:Zeros",
            "New rows of zeros: the start to compare with.",
            needs=BOTH,
            bits="machine",
        ),
        Card(
            "description",
            "initkit_tokenizer.description:Description",
            "New tokens start at the mean of the words that describe them.",
            needs=(*BOTH, DESCRIPTIONS),
            bits="machine",
        ),
        Card(
            "tool_token",
            "initkit_tokenizer.tool_token:ToolToken",
            "Tools start, in the output matrix, where the model's own hidden states of their names point.",
            needs=(*BOTH, replace(DESCRIPTIONS, optional=True)),
            bits="machine",
        ),
        Card(
            "cross_init",
            "initkit_tokenizer.cross_init:CrossInit",
            "New tokens start at the encoder's output for the words that describe them: its last hidden states.",
            needs=(*BOTH, replace(DESCRIPTIONS, optional=True), NAMES),
            bits="machine",
        ),
        Card(
            "token_distillation",
            "initkit_tokenizer.token_distillation:TokenDistillation",
            "New rows are learned: with them the model's last hidden states are those it has of the tokens' pieces.",
            needs=(*BOTH, CORPUS),
            bits="machine",
        ),
        Card(
            "cw2v",
            "initkit_tokenizer.cw2v:Cw2v",
            "New rows as learned means of old ones: skip-grams of text in the new vocabulary, old rows held fixed.",
            needs=(*BOTH, CORPUS),
            bits="machine",
        ),
        Card(
            "eigennoise",
            "initkit_tokenizer.eigennoise:EigenNoise",
            "Embeddings of a model from scratch from the co-occurrences that Zipf's law alone makes.",
            needs=(replace(TOKENIZER, optional=True), COUNTS),
            bits="machine",
        ),
    ]


@hookimpl
def initkit_probes() -> list[Probe]:
    """Where new rows stand, and what they take."""
    return [
        Probe(
            "new_rows",
            "initkit_tokenizer.new_rows:new_rows",
            "Rows of new tokens: their lengths, their nearest old neighbours, and how many are equal.",
            needs=BOTH,
        ),
        Probe(
            "stolen_mass",
            "initkit_tokenizer.stolen_mass:stolen_mass",
            "How much probability new tokens take before any training.",
            needs=BOTH,
        ),
    ]


@hookimpl
def initkit_folder(model: Any, needs: Mapping[str, Any]) -> Callable[[Path], None] | None:
    """Models of transformers, with their new tokenizer."""
    tokenizer = needs.get("tokenizer")
    if tokenizer is None or not callable(getattr(model, "save_pretrained", None)):
        return None
    from initkit_tokenizer.saving import write_folder

    return lambda folder: write_folder(model, tokenizer, folder)


@hookimpl
def initkit_checkpoint(folder: Path) -> CheckpointFolder | None:
    """Folders of transformers."""
    if not (folder / "config.json").is_file():
        return None
    from initkit_tokenizer.model_folder import ModelFolder, is_model_folder

    return ModelFolder(folder) if is_model_folder(folder) else None


@hookimpl
def initkit_example() -> str:
    """A small Llama from one tokenizer family to another."""
    return str(Path(__file__).with_name("example.py"))
