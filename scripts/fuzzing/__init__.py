"""What reads bytes that others wrote, fuzzed: what `scripts/fuzz` and tests/unit/test_fuzz.py run.

Each target is a function of bytes that holds the real reader against a plain second one, or
against its own inverse. One direction of imports: target, mutate <- the targets <- registry
<- child <- campaign.
"""
