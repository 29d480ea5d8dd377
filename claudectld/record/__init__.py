"""The record of a run as the daemon reads it: what its terminal printed, by offset. The keeper writes it."""
