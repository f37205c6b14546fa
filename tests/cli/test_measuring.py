"""``inspect``, ``compare``, ``recommend`` and ``diff`` as processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

MODEL = """
import torch
from torch import nn

def model(width: int = 4):
    return nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, 2))

inputs = torch.linspace(-1, 1, 60).reshape(20, 3)

def loss(model):
    x = torch.randn(16, 3)
    return (model(x).sum(1) - x.sum(1)).square().mean()

def score(model):
    return -loss(model)
"""


@pytest.fixture(autouse=True)
def measured(write):
    return write("model.py", MODEL)


class TestInspect:
    def test_tables_and_verdicts(self, initkit):
        done = initkit("inspect", "model.py")
        assert done.code == 0
        assert "layers: one pass in training mode without dropout; the gradient is that of loss" in done.out
        assert "loss of the answer 0 everywhere" in done.out
        assert "  variance " in done.out
        assert "skipped core/gradsign: needs targets" in done.out
        assert "width 4, signal False" in done.out
        assert "\x1b" not in done.out

    def test_json_is_one_object(self, initkit):
        found = initkit("inspect", "model.py", "--json").json
        assert found["healthy"] is True
        assert [row["layer"] for row in found["tables"]["layers"]["rows"]] == ["0", "2"]

    def test_plugin_alone_adds_its_probes_and_no_recipe(self, initkit):
        found = initkit("inspect", "--plugin", "fake", "model.py", "--json").json
        assert "fake/size" in found["tables"]
        assert "before" not in found

    def test_recipe_shows_before_and_after(self, initkit, listing):
        before = listing()
        done = initkit("inspect", "model.py", "--plugin", "fake", "--recipe", "small", "--set", "std=1e-9")
        assert done.code == 0
        assert "→" in done.out
        assert "before: " in done.out
        assert "after:  FAIL  " in done.out
        assert listing() == before

    def test_a_probe_by_name(self, initkit):
        found = initkit("inspect", "model.py", "--probe", "fake/width", "--json").json
        assert list(found["tables"]) == ["fake/size"]

    def test_strict_exits_with_one_when_a_verdict_is_fail(self, initkit):
        words = ("inspect", "model.py", "--plugin", "fake", "--set-model", "width=9")
        assert initkit(*words).code == 0
        done = initkit(*words, "--strict")
        assert done.code == 1
        assert "FAIL  width 9" in done.out
        assert "Traceback" not in done.err

    def test_data_from_a_file(self, initkit, write):
        write("more.py", "import torch\nbatch = torch.ones(7, 3)\n")
        done = initkit("inspect", "model.py", "--data", "inputs=more.py:batch", "--data", "signal=more.py:batch")
        assert done.code == 0
        assert "signal True" in done.out

    def test_same_words_same_bytes(self, initkit):
        assert initkit("inspect", "model.py", "--json").out == initkit("inspect", "model.py", "--json").out

    @pytest.mark.parametrize(
        ("text", "words", "code", "expected"),
        [
            (MODEL.replace("inputs =", "other =").replace("def loss", "def lost"), (), 0, "needs inputs"),
            (MODEL.replace("reshape(20, 3)", "reshape(15, 4)"), ("--probe", "core/jacobian"), 1, "fails in forward"),
            (MODEL.replace(".square().mean()", ""), (), 1, "must return a scalar tensor, not a tensor of shape (16,)"),
            (MODEL.replace("torch.randn(16, 3)", "nothing"), (), 1, "loss(model) fails: NameError"),
            (MODEL + "\nloss = 3\n", (), 1, "loss of model.py is int; it must be a function loss(model)"),
            (MODEL, ("--probe", "core/sgnal"), 1, "did you mean 'core/signal'"),
            (MODEL, ("--recipe", "fake/smal"), 2, "did you mean 'small'"),
            (MODEL, ("--plugin", "ssm"), 2, "pip install initkit-ssm"),
            (MODEL, ("--html", "no/where.html"), 2, "there is no folder no"),
            (MODEL, ("--html", "model.py"), 2, "model.py exists; add --force"),
        ],
    )
    def test_bad_input_is_one_clear_line(self, initkit, write, listing, text, words, code, expected):
        write("model.py", text)
        before = listing()
        done = initkit("inspect", "model.py", *words)
        assert done.code == code
        assert expected in done.err + done.out
        assert "Traceback" not in done.err
        if code:
            assert done.err.startswith("error: ")
            assert done.err.count("\n") == 1
        assert listing() == before


class TestCompare:
    def test_default_against_a_recipe(self, initkit):
        done = initkit(
            "compare", "model.py", "--recipe", "default", "--recipe", "fake/small", "--steps", "5", "--seeds", "2"
        )
        assert done.code == 0
        assert "loss at a step, mean and 95 % interval over 2 seeds" in done.out
        assert "fake/small: " in done.out

    def test_a_plugin_alone_is_compared_with_the_default(self, initkit):
        found = initkit("compare", "model.py", "--plugin", "fake", "--steps", "2", "--seeds", "1", "--json").json
        assert [start["name"] for start in found["starts"]] == ["default", "fake/small"]
        assert len(found["runs"]) == 2

    def test_options_and_chains(self, initkit, write):
        write("model.py", MODEL + "\nsignal = 0.25\n")
        found = initkit(
            *("compare", "model.py", "--recipe", "fake/small+fake/needy", "--recipe", "default", "--set", "std=0.5"),
            *("--steps", "2", "--seeds", "1", "--json"),
        ).json
        assert [start["name"] for start in found["starts"]] == ["fake/small std=0.5 + fake/needy", "default"]

    def test_out_keeps_and_resumes(self, initkit, work):
        words = ("compare", "model.py", "--plugin", "fake", "--steps", "3", "--out", "runs.json", "--json")
        first = initkit(*words, "--seeds", "1").json
        more = initkit(*words, "--seeds", "2").json
        assert more["runs"][:2] == first["runs"]
        assert len(json.loads((work / "runs.json").read_text())["runs"]) == 4
        (work / "model.py").write_text(MODEL + "\n# changed\n")
        done = initkit(*words, "--seeds", "2")
        assert done.code == 1
        assert "it was made with another model file" in done.err

    def test_divergence_is_no_crash(self, initkit, write):
        write("model.py", MODEL + "\ndef optimizer(model):\n    return torch.optim.SGD(model.parameters(), lr=1e30)\n")
        done = initkit("compare", "model.py", "--plugin", "fake", "--steps", "9", "--seeds", "2")
        assert done.code == 0
        assert "FAIL  default: diverged in 2 of 2 runs" in done.out

    def test_a_value_for_a_model_is_copied(self, initkit, write):
        write("model.py", MODEL.replace("def model(", "def make(") + "\nmodel = make()\n")
        done = initkit("compare", "model.py", "--plugin", "fake", "--steps", "2", "--seeds", "2", "--json")
        assert done.code == 0
        runs = {(run["start"], run["seed"]): run["losses"] for run in done.json["runs"]}
        assert runs["default", 0] != runs["default", 1]

    def test_an_interrupt_tells_what_is_finished(self, environment, work):
        text = MODEL.replace("    x = torch.randn", "    import time; time.sleep(0.02)\n    x = torch.randn")
        (work / "model.py").write_text(text)
        command = [sys.executable, "-m", "initkit_cli", "compare", "model.py", "--plugin", "fake", "--steps", "20"]
        out = work / "runs.json"
        with subprocess.Popen(
            [*command, "--seeds", "500", "--out", str(out)],
            cwd=work,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            deadline = time.monotonic() + 60
            while not out.exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            said, err = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "interrupted: " in said
        assert "of 1000 runs are finished" in said
        assert "Traceback" not in err
        assert json.loads(out.read_text())["runs"]

    @pytest.mark.parametrize(
        ("text", "words", "code", "expected"),
        [
            (MODEL.replace("def loss", "def lost"), ("--plugin", "fake"), 1, "defines no loss(model)"),
            (MODEL, (), 2, "say what to compare"),
            (MODEL, ("--recipe", "default"), 2, "say what to compare"),
            (MODEL, ("--plugin", "fake", "--steps", "0"), 2, "must be at least 1"),
            (MODEL, ("--recipe", "fake/smal"), 2, "did you mean 'small'"),
            (MODEL, ("--recipe", "fake/needy"), 1, "needs 'signal'"),
            (MODEL, ("--plugin", "fake", "--out", "."), 2, "is a folder"),
            (MODEL.replace(".square().mean()", ""), ("--plugin", "fake"), 1, "must return a scalar tensor"),
        ],
    )
    def test_bad_input_is_one_clear_line(self, initkit, write, text, words, code, expected):
        write("model.py", text)
        done = initkit("compare", "model.py", *words)
        assert done.code == code
        assert expected in done.err
        assert "Traceback" not in done.err
        lines = [line for line in done.err.splitlines() if not line.startswith("plugin fake: taking")]
        assert len(lines) == 1


class TestRecommend:
    def test_offers(self, initkit):
        done = initkit("recommend", "model.py")
        assert done.code == 0
        assert "Sequential: 26 parameters" in done.out
        assert "fake/small *" in done.out
        assert "cannot tell without signal (what to fit)" in done.out

    def test_json_with_plugins_that_would_help(self, initkit, write):
        write("siren.py", "from torch import nn\nclass Siren(nn.Linear):\n    pass\nmodel = Siren(3, 2)\n")
        found = initkit("recommend", "siren.py", "--json").json
        assert found["subject"] == "Siren"
        assert [entry["install"] for entry in found["install"]] == ["pip install initkit-inr"]

    def test_a_large_model_costs_nothing(self, initkit, write):
        write("big.py", "from torch import nn\ndef model():\n    return nn.Linear(10**6, 10**6)\n")
        done = initkit("recommend", "big.py")
        assert done.code == 0
        assert "1,000,001,000,000 parameters" in done.out

    def test_a_builder_that_needs_values_is_run_as_it_is(self, initkit, write):
        write(
            "odd.py",
            "import torch\nfrom torch import nn\ndef model():\n    return nn.Linear(int(torch.tensor(3)), 2)\n",
        )
        done = initkit("recommend", "odd.py")
        assert done.code == 0
        assert "Linear: 8 parameters" in done.out

    def test_broken_plugins_are_told(self, initkit):
        done = initkit("recommend", "model.py", INITKIT_PLUGINS="fake,broken")
        assert "plugin broken is broken" in done.err


class TestDiff:
    def test_two_files(self, initkit):
        for name, std in (("a", "0.1"), ("b", "0.2")):
            words = ("--plugin", "fake", "--recipe", "small", "--set", f"std={std}", "-o", f"{name}.safetensors")
            assert initkit("apply", *words, "model.py").code == 0
        done = initkit("diff", "a.safetensors", "b.safetensors")
        assert done.code == 0
        assert "fake/small" in done.out
        assert "2 of 4 tensors have the same bits" in done.out
        found = initkit("diff", "a.safetensors", "b.safetensors", "--json").json
        assert found["tensors"]["0.weight"]["relative"] == pytest.approx(1.0)
        assert initkit("diff", "a.safetensors", "a.safetensors", "--json").json["same"]

    def test_a_missing_file(self, initkit):
        done = initkit("diff", "a.safetensors", "b.safetensors")
        assert done.code == 1
        assert done.err == "error: cannot compare a.safetensors: there is no such file\n"


@pytest.mark.parametrize("command", ["inspect", "compare", "recommend", "diff"])
def test_help_imports_nothing_heavy(cold, command):
    done = cold(command, "--help", python=("-X", "importtime"))
    assert done.code == 0
    imported = {line.rsplit("|", 1)[1].strip() for line in done.err.splitlines() if line.startswith("import time:")}
    assert not {"torch", "numpy", "pydantic"} & imported
