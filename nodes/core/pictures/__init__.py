"""Images: backgrounds, optimisers, metrics, layouts."""
