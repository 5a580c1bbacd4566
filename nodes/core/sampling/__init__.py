"""Samplers and inversions: states, noise levels, and networks as functions."""
