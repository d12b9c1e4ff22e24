"""The core: one session's state, the rules on it, and what a model is given of it. Pure: no I/O,
no clock, no event loop."""
