"""Exact nearest neighbours: with FAISS if it is fastest; with plain tensor code if FAISS is missing
or a graph is exported."""

import os
import sys
from functools import cache
from types import ModuleType

import torch
from torch import Tensor

Memory = tuple[Tensor, Tensor]  # a bank (N, D), and the entries (N, b) around each of its entries
# Matrix products of OpenBLAS, by what torch finds in this processor. The OpenBLAS in FAISS's wheel
# is of 2021: it takes newer processors for ones without AVX, and is a quarter as fast there.
CORES = {"AVX512": "SkylakeX", "AVX2": "Haswell"}
CORE = "OPENBLAS_CORETYPE"  # the variable that it reads when it is loaded
BLOCK = 2048  # bank rows a matrix product: bounds the (..., BLOCK) table of distances


def nearest(x: Tensor, bank: Tensor) -> tuple[Tensor, Tensor]:
    """Euclidean distance (...) of each vector of x (..., D) to its nearest row of `bank` (N, D),
    and that row's index (...).

    Its distance is computed again from the difference: both search methods expand the square and
    lose small distances to rounding.
    """
    index = _faiss(x, bank) if _on_cpu(x) else _products(x, bank)
    return (x - bank[index]).norm(dim=-1), index


def nearest_with(x: Tensor, bank: Tensor, known: Tensor, added: int) -> tuple[Tensor, Tensor]:
    """The same where `known` (...) is the nearest of all but the last `added` rows of the bank."""
    distance, start = (x - bank[known]).norm(dim=-1), len(bank) - added
    if not added:
        return distance, known
    new, index = nearest(x, bank[start:])
    return torch.minimum(distance, new), torch.where(new < distance, index + start, known)


def _on_cpu(x: Tensor) -> bool:
    """Measured: FAISS takes a half to nine tenths of the time of `_products`. On a Mac its OpenMP
    and torch's cannot be in one process."""
    plain = x.device.type == "cpu" and x.dtype == torch.float32 and not x.requires_grad
    return plain and sys.platform == "linux" and not torch.compiler.is_compiling()


def _faiss(x: Tensor, bank: Tensor) -> Tensor:
    """FAISS uses its own blocks and needs almost no memory besides x and the bank."""
    faiss = _library()
    faiss.omp_set_num_threads(torch.get_num_threads())
    queries = x.detach().reshape(-1, x.shape[-1]).contiguous().numpy()
    _, found = faiss.knn(queries, bank.detach().contiguous().numpy(), 1)
    # -1 is its answer where a distance is no number
    return torch.from_numpy(found).clamp_(min=0).view(x.shape[:-1])


@cache
def _library() -> ModuleType:
    """FAISS, loaded when it is needed: that takes a third of a second."""
    core, told = CORES.get(torch.backends.cpu.get_cpu_capability()), CORE in os.environ
    try:
        if core and not told:
            os.environ[CORE] = core
        import faiss
    finally:
        if not told:
            os.environ.pop(CORE, None)
    return faiss


def _products(x: Tensor, bank: Tensor) -> Tensor:
    """By |x|^2 - 2xy + |y|^2, a block of the bank at a time."""
    best = torch.full_like(x[..., 0], torch.inf)
    index = torch.zeros_like(best, dtype=torch.long)
    for start in range(0, len(bank), BLOCK):
        block = bank[start : start + BLOCK]
        # |x|^2 is the same for every row of the bank and does not change which is nearest.
        squared, at = (block.square().sum(1) - 2 * x @ block.mT).min(dim=-1)
        closer = squared < best
        best = torch.where(closer, squared, best)
        index = torch.where(closer, at + start, index)
    return index


def around(bank: Tensor, count: int) -> Tensor:
    """Indices (N, count) of the bank's rows (N, D) nearest to each of them, itself first."""
    count = min(count, len(bank))
    parts = bank.split(1024)  # or the table would be N x N
    return torch.cat([torch.cdist(part, bank).topk(count, largest=False).indices for part in parts])


def scarcity(patches: Tensor, distance: Tensor, neighbour: Tensor, memory: Memory) -> Tensor:
    """Weight (B,) of the largest distance of patches (B, P, D): lower if its nearest entry has many
    similar entries around it (PatchCore, equation 7)."""
    bank, around = memory
    worst = distance.argmax(dim=1, keepdim=True)  # (B, 1)
    # gather, not take_along_dim: that one fixes the exported batch size
    query = patches.gather(1, worst[..., None].expand(-1, -1, patches.shape[2]))  # (B, 1, D)
    entry = neighbour.gather(1, worst).squeeze(1)  # (B,)
    distances = (query - bank[around[entry]]).norm(dim=-1)  # (B, b), itself first
    return 1 - distances.softmax(dim=1)[:, 0]  # softmax: exp alone overflows
