#!/usr/bin/env bash
# hypothesis 6.170.17: with derandomize=True a test still draws other examples when another module of
# one's own happens to be imported.
#
# Integers, floats, strings and bytes are drawn, now and then, from the constants in the source of
# the modules that are loaded and look like one's own. A module more with one constant in it makes
# the pool larger, and so moves every later choice, though the test and its seed are the same. A test
# that passes alone and fails in the whole suite (or finds a planted fault alone and misses it there)
# can have this reason; it is not shared state.
#
# Seen: the same 200 integers in every run without the other module, another 200 in every run with
# it. Needs python3-venv and the network for pip; no root.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -qq --disable-pip-version-check 'hypothesis==6.170.17'
cat >property.py <<'PYTHON'
import hashlib
from hypothesis import given, settings, strategies

drawn = []

@settings(derandomize=True, database=None, max_examples=200)
@given(strategies.integers())
def property(number):
    drawn.append(number)

property()
print(len(drawn), hashlib.sha256(repr(drawn).encode()).hexdigest()[:12])
PYTHON
echo 'LIMIT = 4_711_000_815' >other.py

alone=$(venv/bin/python -c 'import property')
again=$(venv/bin/python -c 'import property')
beside=$(venv/bin/python -c 'import other, property')
echo "alone:                 $alone"
echo "alone again:           $again"
echo "with another module:   $beside"
[[ $alone == "$again" && $alone != "$beside" ]] || { echo "this behaviour has changed" >&2; exit 1; }
