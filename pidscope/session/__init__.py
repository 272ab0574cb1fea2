"""One watch over a world: start, drain, losses, repairs."""
