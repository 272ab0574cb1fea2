"""What the commands in scripts/ need: guest VMs, workloads, containers, benchmarks, soak, fuzzing.

It is not shipped. Each room holds one command, whose `main` module has its options. `builds`
installs two builds side by side, for `bench --against` and `corpus`.
"""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
