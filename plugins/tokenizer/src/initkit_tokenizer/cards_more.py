"""Cards of the recipes that need word vectors or a donor. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import replace

from initkit import Card, Need

VECTORS = Need(
    "static_vectors",
    loader="initkit_tokenizer.static_vectors:load_vectors",
    help="word vectors of the new tokenizer's language: .vec, .npz (keys, vectors), .bin, a mapping, or gensim's",
)
OLD_VECTORS = Need(
    "old_static_vectors",
    loader="initkit_tokenizer.static_vectors:load_vectors",
    help="word vectors of the old language, where one table does not serve both",
    optional=True,
)
DICTIONARY = Need(
    "dictionary",
    loader="initkit_tokenizer.static_vectors:load_pairs",
    help="pairs of an old word and a new one, to bring two tables into one space",
    optional=True,
)
DONOR = Need(
    "donor",
    loader="initkit_tokenizer.donors:load_donor",
    help="a model that was trained with the new tokenizer, its embedding, or a file of it",
)
BY_VECTORS = (VECTORS, OLD_VECTORS, DICTIONARY)


def auto_card(both: tuple[Need, ...]) -> Card:
    """The card of tokenizer/auto.

    Args:
        both: the two tokenizers.
    """
    return Card(
        "auto",
        "initkit_tokenizer.auto:Auto",
        "Picks the recipe that best restores known tokens which it hides from itself, for input and head apart.",
        needs=(*both, replace(VECTORS, optional=True), OLD_VECTORS, DICTIONARY, replace(DONOR, optional=True)),
        bits="machine",
    )


def more_cards(both: tuple[Need, ...]) -> list[Card]:
    """Cards of the recipes with word vectors and of those with a donor.

    Args:
        both: the two tokenizers.
    """
    with_vectors = [
        (
            "fit",
            "fit:Fit",
            "New rows by a regression that is learned on the model's own words, from pieces and word vectors.",
        ),
        (
            "hybrid",
            "hybrid:Hybrid",
            "The mean of a token's pieces and of the rows of tokens with near word vectors, mixed.",
        ),
        (
            "wechsel",
            "wechsel:Wechsel",
            "New rows as means of the old tokens with the nearest word vectors, weighted by a softmax of the cosine.",
        ),
        (
            "focus",
            "focus:Focus",
            "New rows as sparse means of the tokens both vocabularies share, weighted by a sparsemax of the cosine.",
        ),
        (
            "ofa",
            "ofa:Ofa",
            "New rows as means of rows with near word vectors of any language, in few coordinates if wanted.",
        ),
    ]
    with_donor = [
        (
            "map",
            "map:Map",
            "New rows by a linear map from a donor's space that is fitted on the tokens both vocabularies have.",
        ),
        (
            "omp",
            "omp:Omp",
            "Each new token as a sparse combination of shared tokens in a donor's space, read with this model's rows.",
        ),
        (
            "clp",
            "clp:Clp",
            "New rows as means of all shared tokens' rows, weighted by their cosines in a donor's space.",
        ),
    ]
    return [
        Card(name, f"initkit_tokenizer.{target}", summary, needs=(*both, *needs), bits="machine")
        for cards, needs in ((with_vectors, BY_VECTORS), (with_donor, (DONOR,)))
        for name, target, summary in cards
    ]
