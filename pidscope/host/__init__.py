"""A Linux host's own files: /proc, cgroup files, BTF."""
