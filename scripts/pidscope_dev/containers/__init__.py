"""Real containers without an engine: bundles, and the OCI runtimes that run them."""
