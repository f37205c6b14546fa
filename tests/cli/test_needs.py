"""Data for the recipes: from the user's file, from ``--data``, from files of all kinds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from initkit_cli.loaders import load

NEEDY = ("apply", "--recipe", "fake/needy", "--dry-run")
NET = "from torch import nn\nmodel = nn.Linear(2, 1)\n"


@pytest.mark.parametrize(
    "definition",
    [
        "signal = [1.0, 2.0]",
        "def signal():\n    return [1.0, 2.0]",
        "def signal(points=2):\n    return [1.0, 2.0]",
        "from pathlib import Path\nsignal = Path('data/signal.npy')",
        "signal = 'data/signal.npy'",
        "def signal():\n    return 'data/signal.npy'",
    ],
)
def test_a_value_a_function_or_a_path(initkit, write, work, definition):
    write("sub/model.py", NET + definition + "\n")
    (work / "sub/data").mkdir()
    np.save(work / "sub/data/signal.npy", np.array([1.0, 2.0]))
    done = initkit(*NEEDY, "sub/model.py")
    assert done.code == 0, done.err
    assert "signal 1.5, inputs False" in done.out


def test_data_overrides_the_file_and_is_relative_to_the_working_folder(initkit, write, work):
    write("sub/model.py", NET + "signal = [0.0]\ninputs = 1\n")
    np.save(work / "s.npy", np.array([3.0]))
    write("more.py", "def other():\n    return [4.0]\n")
    assert "signal 3.0, inputs True" in initkit(*NEEDY, "--data", "signal=s.npy", "sub/model.py").out
    assert "signal 4.0" in initkit(*NEEDY, "--data", "signal=more.py:other", "sub/model.py").out


@pytest.mark.parametrize("value", ["", "signal = None\n"])
def test_a_missing_need_says_which_name_to_define(initkit, write, value):
    write("model.py", NET + value)
    done = initkit(*NEEDY, "model.py")
    assert done.code == 1
    assert done.err == (
        "error: recipe fake/needy needs 'signal' (what to fit): define the name 'signal' in model.py "
        "(a value, a function that returns it, or a path), or give --data signal=FILE\n"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("signol=s.npy", "does not ask for it; did you mean 'signal'?; it takes signal, inputs"),
        ("signal=nofile.npy", "--data signal: there is no nofile.npy"),
        ("signal=modle.py:signal", "did you mean 'model.py'?"),
        ("signal=model.py", "say what to take from model.py: model.py:signal"),
        ("signal=model.py:modle", "model.py has no name 'modle'; did you mean 'model'?"),
        ("signal", "write --data NAME=VALUE"),
    ],
)
def test_wrong_data_is_wrong_usage(initkit, work, text, words):
    np.save(work / "s.npy", np.array([3.0]))
    done = initkit(*NEEDY, "--data", text, "model.py")
    assert done.code == 2
    assert words in done.err
    assert done.err.count("\n") == 1


def test_data_given_twice(initkit, work):
    np.save(work / "s.npy", np.array([3.0]))
    assert initkit(*NEEDY, "--data", "signal=s.npy", "--data", "signal=s.npy", "model.py").code == 2


def test_a_path_in_the_file_that_does_not_exist(initkit, write):
    write("model.py", NET + "signal = 'nothing.npy'\n")
    done = initkit(*NEEDY, "model.py")
    assert done.code == 1
    assert "signal of model.py names" in done.err
    assert "nothing.npy, which does not exist" in done.err


def test_a_card_s_own_loader_takes_precedence(initkit, write):
    write("thing.txt", "2.5")
    words = ("apply", "--recipe", "fake/loaded", "--dry-run", "model.py", "--data", "thing=thing.txt")
    assert "2.5" in initkit(*words).out
    write("thing.txt", "bad")
    done = initkit(*words)
    assert (done.code, done.err) == (1, "error: thing: bad file\n")
    write("thing.txt", "no number")
    done = initkit(*words)
    assert done.code == 1
    assert "cannot read thing.txt: ValueError" in done.err


def test_a_need_s_function_that_fails_shows_its_own_frames(initkit, write):
    write("model.py", NET + "def signal():\n    return 1 / 0\n")
    done = initkit(*NEEDY, "model.py")
    assert done.code == 1
    assert done.err == (
        "error: signal() of model.py fails: ZeroDivisionError: division by zero\n"
        "  model.py:4, in signal\n    return 1 / 0\n"
    )


def test_default_loaders(tmp_path):
    array = np.arange(6.0).reshape(2, 3)
    np.save(tmp_path / "a.npy", array)
    assert load(tmp_path / "a.npy", None, "x").tolist() == array.tolist()
    np.savez(tmp_path / "one.npz", a=array)
    assert load(tmp_path / "one.npz", None, "x").tolist() == array.tolist()
    np.savez(tmp_path / "two.npz", a=array, names=np.array(["p", "q"]))
    two = load(tmp_path / "two.npz", None, "x")
    assert two["a"].tolist() == array.tolist()
    assert list(two["names"]) == ["p", "q"]
    save_file({"a": torch.ones(2), "b": torch.zeros(1)}, tmp_path / "t.safetensors")
    assert set(load(tmp_path / "t.safetensors", None, "x")) == {"a", "b"}
    (tmp_path / "j.json").write_text('{"a": [1]}')
    assert load(tmp_path / "j.json", None, "x") == {"a": [1]}
    (tmp_path / "t.txt").write_text("one\ntwo\n")
    assert load(tmp_path / "t.txt", None, "x") == ["one", "two"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,2\n3,4\n", [[1, 2], [3, 4]]),
        ("a,b\n1,2\n3,4\n", [[1, 2], [3, 4]]),
        ("a,b\n0.5,2\n", [[0.5, 2.0]]),
        ("from,to\nx,y\n", [["from", "to"], ["x", "y"]]),
    ],
)
def test_csv(tmp_path, text, value):
    (tmp_path / "t.csv").write_text(text)
    found = load(tmp_path / "t.csv", None, "x")
    assert (found.tolist() if isinstance(found, torch.Tensor) else found) == value


@pytest.mark.parametrize(
    ("name", "data"),
    [("a.npy", b"no array"), ("a.npz", b"no zip"), ("a.json", b"{"), ("a.txt", b"\xff\xfe"), ("a.pickle", b"")],
)
def test_broken_files_and_unknown_kinds(tmp_path, name, data):
    from initkit import InitError

    (tmp_path / name).write_bytes(data)
    with pytest.raises(InitError, match=r"need 'x': "):
        load(tmp_path / name, None, "x")


def test_pickled_arrays_are_not_opened(tmp_path):
    from initkit import FileError

    np.save(tmp_path / "a.npy", np.array([object()]), allow_pickle=True)
    with pytest.raises(FileError, match="allow_pickle"):
        load(tmp_path / "a.npy", None, "x")


def test_a_folder_without_a_loader(tmp_path):
    from initkit import NeedError

    with pytest.raises(NeedError, match="is a folder"):
        load(tmp_path, None, "x")
