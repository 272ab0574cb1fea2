"""The eBPF programs and their record header, as package data."""
