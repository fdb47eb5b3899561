"""``python -m mis_lightning``."""

import sys

from mis_lightning.cli import main

sys.exit(main())
