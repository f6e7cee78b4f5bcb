"""The HTTP service: answers from a bundle, over a network, to whoever has a token."""
