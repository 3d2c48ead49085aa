"""Durable replies: what was paid for is kept."""
