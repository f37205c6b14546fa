"""The command on the example and on files of sequences; reading sequences in all their forms."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from initkit import InitError, NeedError
from initkit_cli.__main__ import main
from initkit_ihmm.sequences import load_sequences, read_sequences

ROOT = Path(__file__).resolve().parents[3]
MODEL = "from hmmlearn.hmm import GaussianHMM\n\n\ndef model():\n    return GaussianHMM(2)\n"


@dataclass
class Done:
    """How a run of the command ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Done:
        code = main(["apply", "--plugin", "ihmm", *words])
        out, err = capsys.readouterr()
        return Done(code, out, err)

    return run


def test_the_example(command: Command, tmp_path: Path) -> None:
    done = command(str(ROOT / "examples" / "ihmm.py"), "-o", "hmm.safetensors")
    assert done.code == 0, done.err
    report = json.loads((tmp_path / "hmm.report.json").read_text())
    assert sum(row["steps"] for row in report["notes"]["regimes"]) == 202
    assert len(report["notes"]["series"]) == 202
    timeline = report["notes"]["timeline"]
    assert len(timeline["line"]) == 96
    assert timeline["runs"][0][0] == 0
    assert timeline["runs"][-1][1] == 202
    assert timeline["changes"] == len(timeline["runs"]) - 1
    assert len([row for row in report["notes"]["screening"] if row["kept"]]) == 1
    again = command(str(ROOT / "examples" / "ihmm.py"), "-o", "again.safetensors")
    assert again.code == 0
    assert (tmp_path / "hmm.safetensors").read_bytes() == (tmp_path / "again.safetensors").read_bytes()


def test_dry_run_and_files(command: Command, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(MODEL)
    rng = np.random.default_rng(0)
    x = np.repeat([0.0, 5.0, 0.0], 20)[:, None] + rng.normal(size=(60, 1))
    np.savez(tmp_path / "x.npz", X=x, lengths=np.array([40, 20]))
    dry = command("--dry-run", "--recipe", "kmeans", "--data", "sequences=x.npz", "model.py")
    assert dry.code == 0, dry.err
    assert "60 steps into 2 states" in dry.out
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["model.py", "x.npz"]
    done = command("--recipe", "kmeans", "--data", "sequences=x.npz", "model.py", "--set", "restarts=2")
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--data", "sequences=x.npy", "model.py"), "hold NaN"),
        (("--data", "sequences=none.npy", "model.py"), "none.npy"),
        (("model.py",), "needs 'sequences'"),
        (("--data", "sequences=x.npy", "--set", "missing=skip", "--set", "n_states=9", "model.py"), "n_components=2"),
        (("--data", "sequences=x.npy", "--set", "missing=maybe", "model.py"), "missing"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    command: Command, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    (tmp_path / "model.py").write_text(MODEL)
    np.save(tmp_path / "x.npy", np.array([[0.0], [1.0], [np.nan], [2.0]]))
    done = command(*words)
    assert done.code in (1, 2)
    assert said in done.err
    assert "Traceback" not in done.err
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["model.py", "x.npy"]


def test_forms_of_sequences(tmp_path: Path) -> None:
    x = np.arange(12.0).reshape(6, 2)
    forms: list[tuple[Any, Any, tuple[int, ...]]] = [
        (x, None, (6,)),
        (x, [4, 2], (4, 2)),
        (torch.from_numpy(x), None, (6,)),
        ([x[:4], x[4:]], None, (4, 2)),
        ({"X": x, "lengths": [4, 2]}, None, (4, 2)),
        (x.reshape(2, 3, 2), None, (3, 3)),
        (x[:, 0], None, (6,)),
        (x.tolist(), None, (6,)),
        (list(x[:, 0]), None, (6,)),
    ]
    for form, lengths, expected in forms:
        data = read_sequences(form, lengths)
        assert data.lengths == expected
        np.testing.assert_array_equal(data.x[:, 0], x[:, 0])
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"sequence": [7, 7, 7, 7, 1, 1], "a": x[:, 0], "b": x[:, 1]})
    np.testing.assert_array_equal(read_sequences(frame[["a", "b"]]).x, x)
    frame.to_csv(tmp_path / "named.csv", index=False)
    assert read_sequences(tmp_path / "named.csv").lengths == (4, 2)
    np.savetxt(tmp_path / "bare.csv", x, delimiter=",")
    np.testing.assert_array_equal(read_sequences(tmp_path / "bare.csv").x, x)
    np.savetxt(tmp_path / "one.csv", x[:, 0])
    assert read_sequences(tmp_path / "one.csv").x.shape == (6, 1)
    np.savez(tmp_path / "alone.npz", anything=x)
    np.testing.assert_array_equal(read_sequences(str(tmp_path / "alone.npz")).x, x)


def test_forms_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(b"x")
    with pytest.raises(NeedError, match=r"none of \.npy, \.npz and \.csv"):
        load_sequences(tmp_path / "x.pkl")
    np.savez(tmp_path / "two.npz", a=np.zeros(2), b=np.zeros(2))
    with pytest.raises(NeedError, match="call the array 'X'"):
        load_sequences(tmp_path / "two.npz")
    (tmp_path / "mixed.csv").write_text("sequence,a\n1,0\n2,0\n1,0\n")
    with pytest.raises(NeedError, match="rows of a sequence must stand together"):
        load_sequences(tmp_path / "mixed.csv")
    (tmp_path / "broken.npy").write_bytes(b"no array")
    with pytest.raises(NeedError, match=r"broken\.npy cannot be read"):
        load_sequences(tmp_path / "broken.npy")
    with pytest.raises(NeedError, match="shape"):
        read_sequences(np.zeros((2, 2, 2, 2)))
    with pytest.raises(InitError, match="at least one step"):
        read_sequences([np.zeros((3, 1)), np.zeros((0, 1))])
    with pytest.raises(InitError, match="differ from those"):
        read_sequences([np.zeros((3, 1)), np.zeros((2, 1))], [2, 3])
