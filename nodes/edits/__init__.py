"""What each node does. Imports ``host`` and ``core``."""
