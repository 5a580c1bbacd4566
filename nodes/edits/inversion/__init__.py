"""Inversions, and edits that start from them."""
