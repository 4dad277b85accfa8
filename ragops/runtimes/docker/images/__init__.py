"""Container images: pins, pulls, builds."""
