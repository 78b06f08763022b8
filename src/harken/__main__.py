"""`python -m harken` is the command line."""

import sys

from harken.cli import main

sys.exit(main())
