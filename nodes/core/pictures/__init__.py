"""Pictures: backgrounds, optimisers, metrics, layouts."""
