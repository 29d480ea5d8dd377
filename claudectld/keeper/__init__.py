"""The keeper: parent of every child, only reader and writer of every PTY master, writer of the record.

Everything here but `client`, `start` and `copy` runs in the keeper's own process: standard library only, and
no policy.
"""
