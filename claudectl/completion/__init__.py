"""Completion of our words by shells: scripts made from the verbs as they are, and names asked of the daemon quickly."""
