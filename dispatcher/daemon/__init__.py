"""Run the engine and the admin port together, from the start to the drain."""
