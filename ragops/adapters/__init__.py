"""Side effects behind small protocols."""
