"""The reference RAG service: searches and answers behind the gateway, `python -m ragops.api CONFIG.json`."""
