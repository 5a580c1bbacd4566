"""Masks of edits, and preserving the source outside them."""
