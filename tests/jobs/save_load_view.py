"""A set in a file, loaded again and drawn. Given: `made`, of images."""

import distill_jax as dd

made.save("set.safetensors")
loaded = dd.load("set.safetensors")
dd.export(loaded, "set.png")
pictures, labels = loaded.to_numpy()
