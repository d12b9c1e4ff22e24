"""Several workers as one server: any of them shows any session, and one writes it."""
