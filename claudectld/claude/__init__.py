"""Everything that knows Claude Code: how to start it, what it reports, where it keeps its files."""
