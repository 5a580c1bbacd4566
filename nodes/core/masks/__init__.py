"""Masks: from contrast, mask arithmetic, matching masks to pictures, shrinking."""
