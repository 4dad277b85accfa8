"""Recovery points: manifest, repository, retention."""
