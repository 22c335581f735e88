"""The committee machine."""
