"""The pure heart: stimuli in, effects out. No clock, no file, no socket, no loop."""
