"""Phases over a classifier: cached embeddings, losses, balance, early stopping."""
