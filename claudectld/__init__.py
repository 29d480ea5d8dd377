"""The daemon: what is true. Imports the protocol, never the client."""
