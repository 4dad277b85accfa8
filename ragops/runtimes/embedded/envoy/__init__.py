"""Envoy's hot configuration."""
