"""The objectives: what is matched. One paper per file, named after it."""
