"""Masks: made from contrast, changed, shrunk."""
