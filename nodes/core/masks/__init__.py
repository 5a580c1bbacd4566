"""Masks: from contrast, mask arithmetic, matching masks to images, shrinking."""
