"""A simulated world: scenarios played on the model, as a source like a kernel is one."""
