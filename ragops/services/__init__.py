"""One folder for each service, with all that is known about it."""
