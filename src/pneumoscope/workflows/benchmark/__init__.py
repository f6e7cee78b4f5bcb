"""Benchmark: many backbones under one protocol, and the leaderboard they make."""
