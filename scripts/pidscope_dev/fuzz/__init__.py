"""Fuzzing of all that reads foreign bytes: for `scripts/fuzz` and its unit test.

Each target is a function of bytes that holds the real reader against a plain second one, or
against its own inverse. One direction of imports: target, mutate <- the targets <- registry
<- child <- campaign.
"""
