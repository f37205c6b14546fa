"""The kernels that most time goes into: largest scores, nearest rows, sums of rows, matching pursuit in blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from initkit_tokenizer import neighbours, pursuit
from initkit_tokenizer.neighbours import largest, nearest, sparsemax, sparsemax_weights, unit, weighted_rows
from initkit_tokenizer.pursuit import pursue, pursue_each


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(1, 700), st.integers(1, 12), st.integers(0, 1000), st.booleans())
def test_largest_is_topk(n: int, count: int, k: int, seed: int, ties: bool) -> None:
    scores = numbers(n, count, seed=seed)
    if ties:
        scores = (3 * scores).round()
    k = min(k, count)
    values, places = largest(scores, k)
    assert torch.equal(values, torch.topk(scores, k, dim=1).values)
    assert torch.equal(scores.gather(1, places), values)
    assert all(len(set(row)) == k for row in places.tolist())


@pytest.mark.parametrize("tile", [(7, 64), (64, 700), (3, 1000), (1000, 33)])
@pytest.mark.parametrize("k", [1, 10, 40])
@pytest.mark.parametrize("half", [True, False])
def test_nearest_does_not_depend_on_tiles_or_a_first_look(
    monkeypatch: pytest.MonkeyPatch, tile: tuple[int, int], k: int, half: bool
) -> None:
    queries, anchors = numbers(50, 9), numbers(700, 9, seed=1)
    monkeypatch.setattr(neighbours, "_fast_half", lambda device: half)
    monkeypatch.setitem(neighbours.TILES, "cpu", tile)
    values, places = nearest(queries, anchors, k)
    wanted = torch.topk(unit(queries) @ unit(anchors).T, k, dim=1)
    torch.testing.assert_close(values, wanted.values, atol=1e-6, rtol=0)
    assert torch.equal(places, wanted.indices)


def test_a_first_look_in_half_precision_misses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of anchors closer together than bfloat16 can tell, and others far away."""
    close = torch.eye(20)[:1] + 0.02 * numbers(400, 20)
    anchors = torch.cat([numbers(400, 20, seed=1), close])
    queries = torch.cat([torch.eye(20)[:1] + 0.02 * numbers(5, 20, seed=2), numbers(30, 20, seed=3)])
    monkeypatch.setattr(neighbours, "_fast_half", lambda device: True)
    values, places = nearest(queries, anchors, 10)
    wanted = torch.topk(unit(queries).double() @ unit(anchors).double().T, 10, dim=1)
    torch.testing.assert_close(values.double(), wanted.values, atol=1e-6, rtol=0)
    assert torch.equal(places, wanted.indices)
    looked = _looked(queries, anchors)
    assert 0 < looked < len(queries)  # both ways were taken


def _looked(queries: Tensor, anchors: Tensor) -> int:
    """For how many queries the first look says enough."""
    half = neighbours._Columns(unit(anchors), torch.bfloat16)
    seen, _ = half.largest(unit(queries), 32)
    exact = torch.topk(unit(queries) @ unit(anchors).T, 10, dim=1).values
    return int((seen[:, -1].float() + neighbours.HALF_ERROR < exact[:, -1]).sum())


def test_the_error_of_half_precision_is_within_its_bound() -> None:
    a, b = unit(numbers(300, 64)), unit(numbers(300, 64, seed=1) + 0.3)
    a = torch.cat([a, b[:50]])  # cosines of one too
    found = (a.bfloat16() @ b.bfloat16().T).float() - a @ b.T
    assert float(found.abs().max()) < neighbours.HALF_ERROR


def test_sparsemax_looks_further_only_where_it_must() -> None:
    """Anchors in one direction have a wide support, others a narrow one."""
    anchors = torch.cat([torch.eye(8)[:1] + 0.01 * numbers(300, 8), 3 * numbers(200, 8, seed=1)])
    queries = torch.cat([torch.eye(8)[:1], numbers(5, 8, seed=2)])
    weights, places = sparsemax_weights(queries, anchors, 4)
    whole = sparsemax((unit(queries) @ unit(anchors).T).sort(dim=1, descending=True).values)
    torch.testing.assert_close(weights, whole[:, : weights.shape[1]], atol=1e-5, rtol=0)
    assert bool((whole[:, weights.shape[1] :] == 0).all())
    assert int((weights[0] > 0).sum()) > 64
    rows = numbers(500, 3, seed=3)
    wanted = sum_of(rows, places, weights)
    torch.testing.assert_close(weighted_rows(rows, places, weights), wanted, atol=1e-5, rtol=1e-5)


def sum_of(rows: Tensor, places: Tensor, weights: Tensor) -> Tensor:
    return torch.stack(
        [
            sum((w * rows[i].float() for i, w in zip(ids, ws, strict=True)), torch.zeros(rows.shape[1]))
            for ids, ws in zip(places, weights, strict=True)
        ]
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_sums_of_rows_of_any_type(dtype: torch.dtype) -> None:
    rows, places, weights = numbers(30, 4).to(dtype), torch.randint(30, (9, 3)), numbers(9, 3)
    made = weighted_rows(rows, places, weights)
    assert made.dtype == torch.float32
    torch.testing.assert_close(made, sum_of(rows, places, weights), atol=1e-5, rtol=1e-5)
    assert weighted_rows(rows, places[:0], weights[:0]).shape == (0, 4)


def by_hand(atoms: Tensor, target: Tensor, k: int) -> tuple[list[int], Tensor]:
    """Pursuit of one target in float64: pick, solve, subtract."""
    d, t = atoms.double().numpy(), target.double().numpy()
    left, picks, c = t.copy(), [], np.zeros(0)
    for _ in range(k):
        scores = np.abs(d @ left)
        scores[picks] = -1
        picks.append(int(scores.argmax()))
        c = np.linalg.lstsq(d[picks].T, t, rcond=None)[0]
        left = t - d[picks].T @ c
    return picks, torch.from_numpy(c)


@pytest.mark.parametrize("workspace", [1, 2**12, 2**28])
@pytest.mark.parametrize("tile", [5, 512])
def test_pursuit_is_the_plain_one(monkeypatch: pytest.MonkeyPatch, workspace: int, tile: int) -> None:
    monkeypatch.setitem(pursuit.WORKSPACE, "cpu", workspace)
    monkeypatch.setattr(pursuit, "TILE", tile)
    atoms, targets = numbers(60, 24).double(), numbers(21, 24, seed=1).double()
    found = pursue(atoms, targets, 6)
    for row, target in enumerate(targets):
        picks, coefficients = by_hand(atoms, target, 6)
        assert found.picks[row].tolist() == picks
        torch.testing.assert_close(found.coefficients[row], coefficients, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("largest_gram", [1, 2**30])
def test_rows_of_the_gram_matrix_may_be_made_when_they_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, largest_gram: int
) -> None:
    atoms, targets = numbers(200, 24).double(), numbers(3, 24, seed=1).double()
    monkeypatch.setattr(pursuit, "LARGEST", largest_gram)
    assert pursuit._Atoms.of(atoms, 9).gram is None  # few targets: most rows are never asked for
    assert (pursuit._Atoms.of(atoms, 1000).gram is None) == (largest_gram == 1)
    found = pursue(atoms, targets, 3)
    assert found.picks.tolist() == [by_hand(atoms, target, 3)[0] for target in targets]


def test_smaller_codes_are_the_first_picks_of_larger_ones() -> None:
    atoms, targets = numbers(80, 16).double(), numbers(7, 16, seed=2).double()
    for k, codes in zip((2, 5, 9), pursue_each(atoms, targets, (2, 5, 9)), strict=True):
        alone = pursue(atoms, targets, k)
        assert torch.equal(codes.picks, alone.picks)
        torch.testing.assert_close(codes.coefficients, alone.coefficients, atol=1e-10, rtol=1e-10)
        torch.testing.assert_close(codes.residuals, alone.residuals, atol=1e-10, rtol=1e-10)
    assert pursue_each(atoms, targets, ()) == []


def test_pursuit_passes_over_zeros_and_copies_and_stops_in_time() -> None:
    atoms = torch.cat([torch.zeros(2, 5), torch.eye(5)[:2], torch.eye(5)[:2] * 0.9]).double()
    targets: Any = torch.tensor([[3.0, 2, 0, 0, 0], [0, 0, 0, 0, 0], [1, 0, 0, 0, 5]]).double()
    found = pursue(atoms, targets, 4)
    assert found.picks[0].tolist() == [2, 3, -1, -1]
    assert found.picks[1].tolist() == [-1] * 4
    assert int(found.picks[2, 0]) == 2
    torch.testing.assert_close(found.residuals, torch.tensor([0.0, 0.0, 5.0]).double(), atol=1e-9, rtol=0)
    assert bool(torch.isfinite(found.coefficients).all())
