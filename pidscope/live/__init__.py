"""A real kernel's stream of events: programs, ring, fence, and the session that ties them."""
