"""Inversions, and edits that go on from them."""
