"""Values as text and JSON. Pure."""
