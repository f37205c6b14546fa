"""``initkit apply``: the work, its files and its words."""

from __future__ import annotations

import json
import os

import pytest
from safetensors.torch import load_file

APPLY = ("apply", "--plugin", "fake", "--recipe", "small")


def test_apply_writes_both_files_and_says_what_it_did(initkit, work, listing):
    done = initkit(*APPLY, "model.py")
    assert done.code == 0, done.err
    assert listing() == ["model.py", "model.report.json", "model.safetensors"]
    rows = [line.split() for line in done.out.splitlines()]
    assert rows[0] == ["tensor", "shape", "draw", "std", "why"]
    assert ["0.weight", "4×3"] in [row[:2] for row in rows]
    assert ["0.bias", "-", "kept"] in [row[:3] for row in rows]
    assert "done: fake/small filled 76.9% of the parameters of Sequential with seed 0" in done.out
    assert done.out.endswith("wrote model.safetensors\nwrote model.report.json\n")
    assert set(load_file(work / "model.safetensors")) == {"0.weight", "0.bias", "1.weight", "1.bias"}


def test_output_is_byte_identical_for_the_same_seed_untouched_tensors_included(initkit, write, work):
    write(
        "model.py",
        """
        import random
        import numpy as np
        import torch
        from torch import nn

        model = nn.Linear(3, 2)
        model.register_buffer("noise", torch.tensor([random.random(), np.random.rand()]))
        """,
    )
    for name, seed in (("a", "7"), ("b", "7"), ("c", "8")):
        assert initkit(*APPLY, "--seed", seed, "-o", f"out/{name}.safetensors", "model.py").code == 0
    out = work / "out"
    assert (out / "a.safetensors").read_bytes() == (out / "b.safetensors").read_bytes()
    assert (out / "a.report.json").read_bytes() == (out / "b.report.json").read_bytes()
    a, c = load_file(out / "a.safetensors"), load_file(out / "c.safetensors")
    assert all(not a[name].equal(c[name]) for name in a)


def test_json_is_the_report_and_nothing_else_whatever_is_printed(initkit, write, work):
    write(
        "model.py",
        """
        import atexit, os, subprocess, sys
        from torch import nn

        print("a print")
        os.write(1, b"a write\\n")
        subprocess.run([sys.executable, "-S", "-c", "print('a child')"], check=True)
        atexit.register(print, "a farewell")

        def model():
            print("building")
            return nn.Linear(3, 2)
        """,
    )
    done = initkit(*APPLY, "model.py", "--json")
    assert done.code == 0
    assert done.out == (work / "model.report.json").read_text()
    assert json.loads(done.out)["seed"] == 0
    for words in ("a print", "a write", "a child", "a farewell", "building", "wrote model.safetensors"):
        assert words in done.err


def test_dry_run_prints_the_plan_and_writes_nothing(initkit, listing):
    done = initkit(*APPLY, "--dry-run", "-o", "new/x.safetensors", "model.py")
    assert done.code == 0
    assert "plan: fake/small would fill 76.9% of the parameters of Sequential" in done.out
    assert listing() == ["model.py"]
    plan = initkit(*APPLY, "--dry-run", "--json", "model.py").json
    assert [item["name"] for item in plan["items"]] == ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert listing() == ["model.py"]


def test_dry_run_runs_no_job(initkit, work):
    done = initkit("apply", "--recipe", "fake/slow", "--dry-run", "model.py", FAKE_STARTED=str(work / "started"))
    assert done.code == 0
    assert "job:wait" in done.out
    assert not (work / "started").exists()


def test_the_default_recipe_is_the_first_that_claims_the_model(initkit, write):
    done = initkit("apply", "--plugin", "fake", "model.py")
    assert done.code == 0
    assert "plugin fake: taking its recipe fake/small" in done.err
    write("conv.py", "from torch import nn\nmodel = nn.Sequential(nn.Conv2d(1, 2, 3))\n")
    done = initkit("apply", "--plugin", "fake", "conv.py", "--json")
    assert "taking its recipe fake/convs" in done.err
    assert [recipe["id"] for recipe in done.json["recipes"]] == ["fake/convs"]


def test_no_default_fits(initkit, write, listing):
    write("model.py", "from torch import nn\nmodel = nn.LayerNorm(3)\n")
    done = initkit("apply", "--plugin", "fake", "model.py")
    assert done.code == 1
    assert "plugin 'fake': none of its recipes finds a layer of its kind in LayerNorm (tried fake/convs" in done.err
    assert listing() == ["model.py"]


def test_recipes_run_in_order_and_a_plugin_without_one_adds_its_default(initkit):
    words = ("--plugin", "fake", "--recipe", "small", "--plugin", "other", "model.py", "--json")
    done = initkit("apply", *words, INITKIT_PLUGINS="fake,other")
    assert [recipe["id"] for recipe in done.json["recipes"]] == ["fake/small", "other/small"]
    assert [link["recipe"] for link in done.json["tensors"]["0.weight"]["chain"]] == ["fake/small"]
    words = ("--recipe", "other/small", "--plugin", "fake", "--recipe", "small", "--force", "model.py", "--json")
    done = initkit("apply", *words, INITKIT_PLUGINS="fake,other")
    assert [recipe["id"] for recipe in done.json["recipes"]] == ["other/small", "fake/small"]


@pytest.mark.parametrize(
    ("text", "option", "value"),
    [
        ("std=.5", "std", 0.5),
        ("std=1", "std", 1.0),
        ("small.std=1e-3", "std", 0.001),
        ("fake/small.std=0.25", "std", 0.25),
        ("kind=fancy", "kind", "fancy"),
        ("zero_bias=true", "zero_bias", True),
        ("widths=[1, 2]", "widths", [1, 2]),
    ],
)
def test_options_are_set(initkit, text, option, value):
    done = initkit(*APPLY, "--set", text, "--json", "model.py")
    assert done.code == 0, done.err
    assert done.json["recipes"][0]["options"][option] == value


def test_a_callable_option_comes_from_a_file(initkit, write):
    write("fns.py", "def double(x):\n    return 2 * x\n")
    done = initkit(*APPLY, "--set", "transform=fns.py:double", "--dry-run", "model.py")
    assert done.code == 0, done.err
    assert "0.04" in done.out
    done = initkit(*APPLY, "--set", "transform=fns.py:duoble", "--dry-run", "model.py")
    assert done.code == 2
    assert "did you mean 'double'?" in done.err


def test_arguments_of_the_builder(initkit):
    done = initkit(*APPLY, "--set-model", "width=6", "--dry-run", "model.py")
    assert "6×3" in done.out


def test_only_exclude_and_weights(initkit, work):
    assert initkit(*APPLY, "-o", "first.safetensors", "model.py").code == 0
    words = ("--seed", "1", "--weights", "first.safetensors", "--only", "*.weight", "--exclude", "1.*", "model.py")
    assert initkit(*APPLY, *words).code == 0
    first, second = load_file(work / "first.safetensors"), load_file(work / "model.safetensors")
    assert not first["0.weight"].equal(second["0.weight"])
    assert all(first[name].equal(second[name]) for name in ("0.bias", "1.weight", "1.bias"))


def test_notes_are_shown(initkit):
    done = initkit("apply", "--recipe", "fake/forward", "model.py")
    assert done.code == 0, done.err
    assert "measured:" in done.out
    assert "fc     0.5" in done.out


def test_the_file_of_a_package(initkit, write, work):
    write("package/__init__.py", "")
    write("package/nets.py", "from torch import nn\ndef tiny():\n    return nn.Linear(2, 2)\n")
    done = initkit(*APPLY, "package.nets:tiny")
    assert done.code == 0, done.err
    assert (work / "nets.safetensors").exists()


def test_no_bytecode_is_left_beside_the_users_file(cold, listing):
    assert cold(*APPLY, "--dry-run", "model.py", PYTHONDONTWRITEBYTECODE="").code == 0
    assert listing() == ["model.py"]


def test_a_real_plugin_end_to_end(cold, work):
    pytest.importorskip("initkit_gnn")
    pytest.importorskip("torch_geometric")
    import initkit_gnn

    example = os.path.join(os.path.dirname(initkit_gnn.__file__), "example.py")
    done = cold("apply", "--plugin", "gnn", example, "--json", INITKIT_PLUGINS="gnn")
    assert done.code == 0, done.err
    assert done.json["recipes"][0]["id"] == "gnn/virgo"
    assert (work / "example.safetensors").exists()
