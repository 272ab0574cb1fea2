"""Measuring pidscope against its peers, side by side (see ``scripts/bench --help``).

``row`` is one comparison and its verdict, ``taken`` what was measured, in turn. A section is a file
with two functions: ``measure`` takes, ``rows`` makes rows of what was taken, with nothing else.
``sections`` lists them, ``run`` runs them here or in a VM; ``text`` and ``picture`` show the rows.
"""
