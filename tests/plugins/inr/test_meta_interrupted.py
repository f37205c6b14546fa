"""inr/meta: how learning is broken off, and goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from initkit import CommitError, FileError

from .meta_networks import Bursts, Field, Stops, bits, blobs, learn


@pytest.mark.parametrize("options", [{}, {"val_tasks": 2, "val_every": 3}], ids=["plain", "validated"])
def test_an_interrupted_run_goes_on_bit_for_bit(tmp_path: Path, options: dict[str, Any]) -> None:
    model, whole, path = Field(), Field(), tmp_path / "meta.safetensors"
    before = bits(model)
    with pytest.raises(
        KeyboardInterrupt, match=r"after 4 of 12 iterations; the model is unchanged; go on .* checkpoint='"
    ):
        learn(model, progress=Stops(5), checkpoint=str(path), **options)
    assert bits(model) == before
    assert path.is_file()
    assert not list(tmp_path.glob(".*"))
    report = learn(model, checkpoint=str(path), **options)
    wanted = learn(whole, **options)
    assert bits(model) == bits(whole)
    assert dict(report.notes) == dict(wanted.notes)
    # A finished run is in its file too, and more iterations go on from there.
    longer, again = Field(), Field()
    learn(longer, checkpoint=str(path), iters=15, **options)
    learn(again, iters=15, **options)
    assert bits(longer) == bits(again)


def test_an_interrupt_without_a_file_says_how_to_keep_the_state(tmp_path: Path) -> None:
    model = Field()
    before = bits(model)
    with pytest.raises(KeyboardInterrupt, match="give checkpoint=FILE"):
        learn(model, progress=Stops(3))
    path = tmp_path / "meta.safetensors"
    with pytest.raises(KeyboardInterrupt, match="after 0 of 12 iterations"):
        learn(model, progress=Stops(1), checkpoint=str(path))
    assert not path.exists()
    assert bits(model) == before


def test_a_task_that_becomes_nan_changes_nothing_and_keeps_the_last_good_state(tmp_path: Path) -> None:
    path = tmp_path / "meta.safetensors"
    # Nine calls an iteration: three tasks of three losses.
    model = Field(between=Bursts(2 * 9 + 5))
    before = bits(model)
    words = r"the loss is no finite number in iteration 3; the model is unchanged; lower inner_lr \(now 0.01\)"
    with pytest.raises(CommitError, match=words + r".*; with checkpoint='.*' it goes on from iteration 2"):
        learn(model, checkpoint=str(path), activation="sine:30")
    assert bits(model) == before
    resumed, whole = Field(between=Bursts(0)), Field(between=Bursts(0))
    learn(resumed, checkpoint=str(path), activation="sine:30")
    learn(whole, activation="sine:30")
    assert bits(resumed) == bits(whole)
    with pytest.raises(CommitError, match=words):
        learn(Field(between=Bursts(2 * 9 + 5)), activation="sine:30")


def test_inner_steps_that_diverge_are_said() -> None:
    model = Field()
    before = bits(model)
    with pytest.raises(CommitError, match=r"no finite number in iteration \d+; the model is unchanged; lower inner_lr"):
        learn(model, inner_lr=1e6, inner_steps=12)
    assert bits(model) == before


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "meta.safetensors"
    with pytest.raises(KeyboardInterrupt):
        learn(Field(), progress=Stops(3), checkpoint=str(path))
    for model, signals, seed, word in (
        (Field(), blobs(), 1, "seed"),
        (Field(width=8), blobs(), 0, "start"),
        (Field(), blobs(9), 0, "data"),
    ):
        with pytest.raises(FileError, match=rf"it is of another run \({word} differs\)"):
            learn(model, signals, seed=seed, checkpoint=str(path))
    path.write_bytes(b"no checkpoint")
    with pytest.raises(FileError, match="cannot go on from"):
        learn(Field(), checkpoint=str(path))
