"""Recovery points of the database: dump, verify, proof, and the engine that the contract names."""
