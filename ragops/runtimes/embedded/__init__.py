"""The embedded runtime: host processes from wheels."""
