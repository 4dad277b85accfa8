"""Read recovery points back: onto the live platform, a scratch platform, a new machine."""
