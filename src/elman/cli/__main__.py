"""``python -m elman.cli`` runs ``elman``."""

from __future__ import annotations

import sys

from elman.cli import main

sys.exit(main())
