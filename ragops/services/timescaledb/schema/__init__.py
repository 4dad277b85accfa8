"""The `rag` schema: migrations, their objects, maintenance."""
