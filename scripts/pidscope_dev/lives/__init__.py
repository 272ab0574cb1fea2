"""The life stream against other witnesses: the model's full stream, and the kernel's own counts."""
