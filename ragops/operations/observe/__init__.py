"""Report the state of a platform: health, status, consistency."""
