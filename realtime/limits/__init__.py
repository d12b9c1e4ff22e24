"""How often, how much a day, and whether there is room for more."""
