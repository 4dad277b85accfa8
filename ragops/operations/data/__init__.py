"""Work on the data of a platform: migrate, ingest, query."""
