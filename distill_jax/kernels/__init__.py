"""Kernels, and regression with them."""
