"""Ranking and metrics."""
