"""`claudectl doctor`: facts are gathered in one place, and what they mean is decided in others, without looking."""
