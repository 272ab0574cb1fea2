"""Record bytes to events and back: the Python side of bpf/record.h."""
