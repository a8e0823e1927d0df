"""How a contract says that it is broken."""

from __future__ import annotations


class ContractError(AssertionError):
    """A cell, an engine or a task breaks a contract; the message says which, and how."""


def expect(kept: bool, contract: str) -> None:
    """Raise unless the contract is kept."""
    if not kept:
        raise ContractError(contract)
