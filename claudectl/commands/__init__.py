"""One module per verb: parse, one call, render."""
