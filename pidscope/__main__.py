"""``python -m pidscope``."""

import sys

from pidscope.cli import main

sys.exit(main())
