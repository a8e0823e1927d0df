"""The contracts that every cell, engine and task keeps, as functions you can run on your own.

``check_cell(make)``, ``check_engine(name, make)`` and ``check_task(make)`` run them all; each
contract can also be run alone. ``make`` is a function without arguments that returns a new small
cell or task.
"""

from __future__ import annotations

from elman.testing._base import ContractError
from elman.testing._cell_facts import (
    CellFacts,
    CellMemory,
    CellSpeed,
    cell_engine,
    cell_facts,
    cell_memory,
    cell_speed,
)
from elman.testing._cells import (
    CELL_CONTRACTS,
    Contract,
    MakeCell,
    check_cell,
    deterministic_given_a_seed,
    dtype_follows_the_input,
    gradients_are_right,
    is_documented,
    padding_is_inert,
    rows_are_independent,
    scan_is_the_fold_of_step,
    state_dict_round_trips,
    units_are_independent,
    whole_is_its_chunks,
)
from elman.testing._composed import composed
from elman.testing._configurations import Configuration, draw
from elman.testing._engines import (
    ENGINE_CONTRACTS,
    EngineContract,
    agrees_with_the_reference,
    buffers_are_read_as_they_are,
    calls_in_any_order,
    changes_are_noticed,
    check_engine,
    lengths_are_read_as_they_are,
    options_are_kept,
    settings_change_nothing,
    threads_may_change,
)
from elman.testing._probes import KINDS, Kind
from elman.testing._random import Tally, check_configuration, check_configurations
from elman.testing._selftest import Check, cell_checks, selftest
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
from elman.testing._timing import interleave

__all__ = [
    "CELL_CONTRACTS",
    "ENGINE_CONTRACTS",
    "KINDS",
    "TASK_CONTRACTS",
    "CellFacts",
    "CellMemory",
    "CellSpeed",
    "Check",
    "Configuration",
    "Contract",
    "ContractError",
    "EngineContract",
    "Kind",
    "MakeCell",
    "MakeTask",
    "Tally",
    "TaskContract",
    "a_batch_is_its_rows",
    "agrees_with_the_reference",
    "an_epoch_repeats",
    "an_excerpt_is_a_batch",
    "buffers_are_read_as_they_are",
    "building_follows_the_seed",
    "calls_in_any_order",
    "cell_checks",
    "cell_engine",
    "cell_facts",
    "cell_memory",
    "cell_speed",
    "changes_are_noticed",
    "check_cell",
    "check_configuration",
    "check_configurations",
    "check_engine",
    "check_task",
    "composed",
    "deterministic_given_a_seed",
    "draw",
    "dtype_follows_the_input",
    "evaluation_leaves_no_trace",
    "every_weight_learns",
    "gradients_are_right",
    "interleave",
    "is_documented",
    "lengths_are_known",
    "lengths_are_read_as_they_are",
    "metrics_are_numbers",
    "options_are_kept",
    "padding_is_inert",
    "reports_are_well_formed",
    "rows_are_independent",
    "saved_is_restored",
    "scan_is_the_fold_of_step",
    "selftest",
    "settings_change_nothing",
    "state_dict_round_trips",
    "the_loss_is_a_sum",
    "threads_may_change",
    "units_are_independent",
    "whole_is_its_chunks",
]


def __dir__() -> list[str]:
    return sorted(__all__)
