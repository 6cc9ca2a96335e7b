"""`python -m polychron`."""

import sys

from polychron._cli import main

sys.exit(main())
