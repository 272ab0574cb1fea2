"""A recording in the forms of other programs: a value for each task, and what is made of it."""
