"""What a terminal would show after a run's bytes: queries, modes, repaints. Knows nothing of Claude Code."""
