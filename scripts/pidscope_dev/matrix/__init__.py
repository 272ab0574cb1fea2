"""Which kernel allows which way of probing, found by running it (see ``scripts/matrix --help``).

``row`` is a kernel's row in text, ``table`` many of them; ``trial`` makes one by running pidscope.
"""
