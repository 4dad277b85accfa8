"""Development servers, which run in place of an engine. Programs, not part of the operator."""
