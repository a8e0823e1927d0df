"""The contracts that every cell, engine and task keeps, as functions you can run on your own.

``check_cell(make)``, ``check_engine(name, make)`` and ``check_task(make)`` run them all; each
contract can also be run alone. ``make`` is a function without arguments that returns a new small
cell or task.
"""

from __future__ import annotations

from elman.testing._base import ContractError
from elman.testing._cells import (
    CELL_CONTRACTS,
    Contract,
    MakeCell,
    check_cell,
    check_engine,
    deterministic_given_a_seed,
    dtype_follows_the_input,
    gradients_are_right,
    is_documented,
    padding_is_inert,
    rows_are_independent,
    scan_is_the_fold_of_step,
    state_dict_round_trips,
    whole_is_its_chunks,
)
from elman.testing._tasks import (
    TASK_CONTRACTS,
    MakeTask,
    TaskContract,
    a_batch_is_its_rows,
    an_epoch_repeats,
    an_excerpt_is_a_batch,
    building_follows_the_seed,
    check_task,
    evaluation_leaves_no_trace,
    every_weight_learns,
    lengths_are_known,
    metrics_are_numbers,
    reports_are_well_formed,
    saved_is_restored,
    the_loss_is_a_sum,
)

__all__ = [
    "CELL_CONTRACTS",
    "TASK_CONTRACTS",
    "Contract",
    "ContractError",
    "MakeCell",
    "MakeTask",
    "TaskContract",
    "a_batch_is_its_rows",
    "an_epoch_repeats",
    "an_excerpt_is_a_batch",
    "building_follows_the_seed",
    "check_cell",
    "check_engine",
    "check_task",
    "deterministic_given_a_seed",
    "dtype_follows_the_input",
    "evaluation_leaves_no_trace",
    "every_weight_learns",
    "gradients_are_right",
    "is_documented",
    "lengths_are_known",
    "metrics_are_numbers",
    "padding_is_inert",
    "reports_are_well_formed",
    "rows_are_independent",
    "saved_is_restored",
    "scan_is_the_fold_of_step",
    "state_dict_round_trips",
    "the_loss_is_a_sum",
    "whole_is_its_chunks",
]


def __dir__() -> list[str]:
    return sorted(__all__)
