"""The client: what is shown. Imports the protocol, never the daemon."""
