"""What is compiled: one sweep and its parts, and decoding."""
