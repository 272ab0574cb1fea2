"""What a session must survive: what `scripts/soak` and tests/kernel/test_survival.py run.

One direction of imports: load, witness <- run.
"""
