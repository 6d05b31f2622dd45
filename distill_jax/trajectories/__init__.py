"""Paths of networks through training: made, kept on disk, and fed."""
