"""What is matched: one paper a file, named after it."""
