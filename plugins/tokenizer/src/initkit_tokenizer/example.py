"""A small Llama that changes its tokenizer: from byte-level BPE to SentencePiece's kind, with more tokens.

Both tokenizers are trained on Python's own documentation, which ships with Python.

initkit apply --plugin tokenizer example.py
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pydoc_data.topics import topics

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TEXT = [topics[name] for name in sorted(topics)]


def byte_level(text: Sequence[str], size: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer, as GPT-2's."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        text,
        trainers.BpeTrainer(
            vocab_size=size, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
        ),
    )
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|endoftext|>")  # type: ignore[no-untyped-call]


def sentencepiece(text: Sequence[str], size: int) -> PreTrainedTokenizerFast:
    """Train a BPE tokenizer that marks words with "▁" and falls back on bytes, as Llama 2's."""
    made = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Sequence([decoders.Metaspace(), decoders.ByteFallback()])
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    made.train_from_iterator(text, trainers.BpeTrainer(vocab_size=size, special_tokens=special, show_progress=False))
    names = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    return PreTrainedTokenizerFast(tokenizer_object=made, **names)  # type: ignore[no-untyped-call]


old_tokenizer = byte_level(TEXT, 800)  # what the model was made with
tokenizer = sentencepiece(TEXT, 1600)  # what it is to have
corpus = TEXT  # for recipes that learn


def static_vectors(words: int = 1000, dim: int = 32, window: int = 4) -> dict[str, NDArray[np.float32]]:
    """Word vectors of the documentation: leading components of the words' pointwise mutual information."""
    text = re.findall("[a-z]+", " ".join(TEXT).lower())
    places = {word: place for place, (word, _) in enumerate(Counter(text).most_common(words))}
    ids = np.array([places.get(word, -1) for word in text])
    pairs = np.zeros((words, words))
    for step in range(1, window + 1):
        left, right = ids[:-step], ids[step:]
        both = (left >= 0) & (right >= 0)
        np.add.at(pairs, (left[both], right[both]), 1)
    pairs += pairs.T
    expected = np.outer(pairs.sum(1), pairs.sum(0)) / pairs.sum()
    information = np.log(np.maximum(pairs, 1e-9) / np.maximum(expected, 1e-9)).clip(0)
    values, vectors = np.linalg.eigh(information)
    rows = (vectors[:, -dim:] * np.sqrt(np.abs(values[-dim:]))).astype(np.float32)
    return {word: rows[place] for word, place in places.items()}


def donor() -> LlamaForCausalLM:
    """A model of the new tokenizer; a real one would be trained."""
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=48, intermediate_size=96, num_hidden_layers=1, num_attention_heads=4
    )
    made = LlamaForCausalLM(config)
    for module in (made.model.embed_tokens, made.lm_head):  # rows of trained models share a direction
        torch.nn.init.normal_(module.weight, mean=0.02, std=0.02)
    return made


def model(hidden: int = 64, layers: int = 2) -> LlamaForCausalLM:
    """Build the model; ``--set-model layers=4`` makes it deeper."""
    config = LlamaConfig(
        vocab_size=len(old_tokenizer),
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        bos_token_id=old_tokenizer.eos_token_id,
        eos_token_id=old_tokenizer.eos_token_id,
    )
    return LlamaForCausalLM(config)


def inputs() -> torch.Tensor:
    """A few sentences as the old tokenizer cuts them, for inspect."""
    ids: torch.Tensor = old_tokenizer(TEXT[0][:400], return_tensors="pt").input_ids
    return ids
