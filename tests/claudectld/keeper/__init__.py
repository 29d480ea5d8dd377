"""The keeper, tested with real processes."""
