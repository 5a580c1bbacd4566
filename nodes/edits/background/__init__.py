"""Restoring the background of an edit."""
