"""Embedding rows for changed tokenizers."""
