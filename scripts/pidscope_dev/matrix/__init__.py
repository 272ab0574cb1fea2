"""Which kernel allows which way of probing, found by running it (see ``scripts/matrix --help``).

``table`` has the rows, one a kernel, and their table; ``trial`` makes a row by running pidscope.
"""
