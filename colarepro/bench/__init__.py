"""Training speed, side by side in one process."""
