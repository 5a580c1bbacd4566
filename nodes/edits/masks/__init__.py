"""Masks of edits, and what they leave alone."""
