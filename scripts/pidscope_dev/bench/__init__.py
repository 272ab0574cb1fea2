"""Measuring pidscope against its peers, side by side (see ``scripts/bench --help``).

``row`` is one comparison and its verdict, ``taken`` what was measured, in turn. A section is a
function, ``measure``, and the rows that are asked for of what it takes, as data.
``sections`` lists them, ``run`` runs them here or in a VM; ``text`` and ``picture`` show the rows.
"""
