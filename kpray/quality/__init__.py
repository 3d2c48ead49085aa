"""Checks on what a teacher wrote."""
