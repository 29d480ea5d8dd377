"""What claudectl and claudectld say to each other: values, frames and names; no socket, no clock, no loop."""

__version__ = "0.1.0"
