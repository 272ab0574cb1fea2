"""What --source, --proc and --in name, read into values."""
