"""Backgrounds restored."""
