"""The native engine in threads and in processes that were forked off."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

import elman
from elman.cells import PointwiseCell
from elman.engine.compiler import _trace
from elman.engine.runtime import _pool
from unit.engine.own_cells import NormedGRU, Peephole
from unit.engine.test_native import share

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    # Where a benchmark's test has loaded JAX before, whose threads no child here uses.
    pytest.mark.filterwarnings("ignore:.*JAX is multithreaded:RuntimeWarning"),
]


def gradients(layer: elman.Recurrent, x: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(layer(x)[0].square().sum(), tuple(layer.parameters()))


class Outputs(Dataset[Tensor]):
    """Each item is what a layer, in whichever process asks for it, makes of a sequence."""

    def __init__(self, layer: elman.Recurrent, x: Tensor) -> None:
        self.layer, self.x = layer, x

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> Tensor:
        with torch.no_grad():
            output: Tensor = self.layer(self.x[index : index + 1])[0][0]
        return output


def test_workers_of_a_loader_run_a_layer_that_was_trained_before() -> None:
    torch.set_num_threads(2)
    layer = elman.Recurrent(elman.cells.LSTM(3, 40), engine="native")
    x = torch.randn(40, 9, 3)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    for _ in range(3):
        layer(x)[0].square().mean().backward()
        optimizer.step()
    loader = DataLoader(
        Outputs(layer, x), batch_size=8, num_workers=2, multiprocessing_context="fork", timeout=60
    )
    torch.testing.assert_close(torch.cat(list(loader)), layer(x)[0].detach())
    gradients(layer, x)


@pytest.mark.parametrize("kind", [Peephole, NormedGRU])
def test_eight_threads_train_one_layer_that_none_has_traced(kind: type[PointwiseCell]) -> None:
    _trace._programs.clear()
    layer, x = elman.Recurrent(kind(3, 20), engine="native"), torch.randn(4, 9, 3)
    together, found, failed = threading.Barrier(8), [], []

    def work() -> None:
        try:
            together.wait()
            found.extend(gradients(layer, x) for _ in range(20))
        except Exception as error:  # noqa: BLE001 - shown in the test's own thread
            failed.append(error)

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failed
    expected = gradients(layer, x)
    assert len(found) == 160
    assert all(map(torch.equal, each, expected) for each in found)


def status_of_child(work: Any) -> int:
    child = os.fork()
    if not child:
        try:
            work()
        except BaseException:  # noqa: BLE001 - the child must not go on with the tests
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("lock", [_pool._lock, _trace._one_at_a_time], ids=["pool", "trace"])
def test_a_fork_while_another_thread_is_at_it(lock: Any) -> None:
    layer, x = elman.Recurrent(elman.cells.GRU(3, 7), engine="native"), torch.randn(2, 4, 3)
    holds, stop = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            holds.set()
            stop.wait(1)

    holder = threading.Thread(target=hold)
    holder.start()
    holds.wait()
    assert status_of_child(lambda: gradients(layer, x)) == 0
    stop.set()
    holder.join()
    gradients(layer, x)


@pytest.mark.parametrize("batch", [40, 2])  # threads that share rows, or units
def test_all_threads_treat_subnormal_numbers_as_the_calling_one(batch: int) -> None:
    share(2, batch)
    layer = elman.Recurrent(elman.cells.Elman(1, 40, "identity", bias=False), engine="native")
    torch.nn.init.constant_(layer.cell.weight_ih, 0.01)
    x = torch.full((batch, 1, 1), 1e-38)
    assert layer(x)[0].min() > 0  # the pool's threads have started, and do not flush
    torch.set_flush_denormal(True)
    try:
        flushed = layer(x)[0]
    finally:
        torch.set_flush_denormal(False)
    assert flushed.view(torch.int32).eq(0).all()
    assert layer(x)[0].min() > 0
