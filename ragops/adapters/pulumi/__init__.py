"""Pulumi's engine: found, installed, driven; its events and errors in our own words."""
