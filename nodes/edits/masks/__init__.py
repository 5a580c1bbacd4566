"""Masks of edits, and keeping the source outside them."""
