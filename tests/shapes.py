"""What checks types and shapes at every call while the tests run; see scripts/test."""

from __future__ import annotations

from beartype import BeartypeConf, beartype

# An int will do where a float is asked for, as type checkers have it.
checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
