"""Real container engines, what they say of their containers, and what pidscope says.

``engine`` is what all have in common, and each engine has a module; ``questions`` asks both, and
``table`` makes the page of docs/ from the rows. They run in a guest: ``scripts/vm --engines``.
"""
