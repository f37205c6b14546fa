"""A user's mistakes: one clear line, the right exit code, nothing written, no traceback of ours."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

APPLY = ("apply", "--plugin", "fake", "--recipe", "small")

USAGE = [
    (("aply",), "no such command 'aply'; did you mean 'apply'?"),
    (("apply", "--plugn", "fake", "model.py"), "no such option"),
    (("apply",), "missing argument 'MODEL'"),
    (("apply", "model.py"), "say what to apply: --plugin NAME or --recipe PLUGIN/NAME; installed are fake"),
    (("apply", "--plugin", "ssm", "model.py"), "plugin 'ssm' is not installed"),
    (("apply", "--plugin", "fkae", "model.py"), "there is no plugin 'fkae'; did you mean 'fake'?"),
    (("apply", "--recipe", "small", "model.py"), "write --recipe fake/small"),
    (("apply", "--recipe", "smal", "model.py"), "there is no recipe 'smal'; did you mean"),
    (("apply", "--recipe", "fake/smal", "model.py"), "plugin 'fake' has no recipe 'smal'; did you mean 'small'?"),
    (("apply", "--plugin", "fake", "--recipe", "smll", "model.py"), "did you mean 'small'?"),
    ((*APPLY, "modle.py"), "there is no file modle.py; did you mean 'model.py'?"),
    ((*APPLY, "no/such/model.py"), "there is no file no/such/model.py"),
    ((*APPLY, "no_such_module:build"), "there is neither a file nor a module 'no_such_module'"),
    ((*APPLY, "."), ". is a folder; give a Python file in it, such as model.py"),
    ((*APPLY, "data.json"), "data.json is no Python file"),
    ((*APPLY, "model.py:modle"), "model.py has no name 'modle'; did you mean 'model'?"),
    ((*APPLY, "--set", "sdt=1", "model.py"), "fake/small has no option 'sdt'; did you mean 'std'?"),
    ((*APPLY, "--set", "smal.std=1", "model.py"), "no recipe 'smal' is chosen; did you mean 'small'?"),
    ((*APPLY, "--set", "std", "model.py"), "--set 'std': write --set NAME=VALUE"),
    ((*APPLY, "--set", "std=1", "--set", "std=2", "model.py"), "the option is set twice"),
    ((*APPLY, "--set", "std=-1", "model.py"), "option std=-1: input should be greater than 0"),
    ((*APPLY, "--set", "std=11", "model.py"), "input should be less than or equal to 10"),
    ((*APPLY, "--set", "std=big", "model.py"), "option std='big': "),
    ((*APPLY, "--set", "std=NaN", "model.py"), "option std='NaN': "),
    ((*APPLY, "--set", "kind=fnacy", "model.py"), "option kind='fnacy': "),
    ((*APPLY, "--set", "zero_bias=True", "model.py"), "write true for True"),
    ((*APPLY, "--set-model", "widht=3", "model.py"), "has no argument 'widht'; did you mean 'width'?"),
    ((*APPLY, "--set-model", "width=3", "--set-model", "width=4", "model.py"), "--set-model width is given twice"),
    ((*APPLY, "--seed", "-1", "model.py"), "--seed"),
    ((*APPLY, "--seed", "x", "model.py"), "--seed"),
    ((*APPLY, "--seed", str(2**64), "model.py"), "--seed"),
    ((*APPLY, "--device", "gpu", "model.py"), "--device 'gpu'; did you mean 'cpu'?; give auto, cpu, cuda or cuda:N"),
    ((*APPLY, "--device", "cuda:99", "model.py"), "--device cuda:99: "),
    ((*APPLY, "--weights", "nofile.safetensors", "model.py"), "--weights: there is no file nofile.safetensors"),
    ((*APPLY, "--data", "signal=data.json", "model.py"), "fake/small does not ask for it; it takes no data"),
    ((*APPLY, "-o", "x.pt", "model.py"), "must end in .safetensors: x.safetensors"),
    ((*APPLY, "-o", ".", "model.py"), "is a folder; name a file in it: model.safetensors"),
    (("show", "fake/smal"), "did you mean 'small'?"),
    (("show", "ssm/s4d"), "install it with: pip install initkit-ssm"),
    (("cite", "smal"), "there is no recipe 'smal'; did you mean"),
]


@pytest.mark.parametrize(("words", "message"), USAGE, ids=[" ".join(words) for words, _ in USAGE])
def test_wrong_usage_is_exit_code_2(initkit, write, listing, words, message):
    write("data.json", "{}")
    done = initkit(*words)
    assert done.code == 2
    assert done.out == ""
    assert done.err.startswith("error: ")
    assert message in done.err
    assert "Traceback" not in done.err
    assert listing() == ["data.json", "model.py"]


def test_a_plugin_that_is_not_installed_says_how_to_install_it(initkit):
    done = initkit("apply", "--plugin", "ssm", "model.py")
    assert "install it with: pip install initkit-ssm\n" in done.err


@pytest.mark.parametrize("words", [words for words, _ in USAGE[:5]], ids=lambda words: " ".join(words))
def test_errors_are_json_too(initkit, words):
    done = initkit(*words, "--json")
    assert done.code == 2
    error = done.json["error"]
    assert error["exit_code"] == 2
    assert error["kind"] == "usage"
    assert error["message"] in done.err


def test_two_recipes_with_one_option(initkit):
    both = ("--plugin", "fake", "--recipe", "small", "--plugin", "other", "--recipe", "small", "model.py", "--dry-run")
    done = initkit("apply", *both, "--set", "std=0.5", INITKIT_PLUGINS="fake,other")
    assert done.code == 2
    assert "write --set fake/small.std=... or --set other/small.std=..." in done.err
    done = initkit("apply", *both, "--set", "other/small.std=0.5", "--json", INITKIT_PLUGINS="fake,other")
    assert [recipe["options"]["std"] for recipe in done.json["recipes"]] == [0.02, 0.5]


FILES = {
    "several models": (
        "from torch import nn\nfirst = nn.Linear(1, 1)\nsecond = nn.Linear(1, 1)\n",
        2,
        "model.py defines several models: first, second; say which: model.py:first",
    ),
    "no model": ("x = 1\n", 1, "model.py defines no model: define the name 'model'"),
    "not a model": ("model = 3\n", 1, "model of model.py gives int; it must be a model"),
    "returns nothing": ("def model():\n    pass\n", 1, "model() of model.py gives NoneType"),
    "missing argument": (
        "from torch import nn\nclass Net(nn.Module):\n    def __init__(self, width):\n        super().__init__()\n",
        2,
        "Net of model.py must be given width: --set-model width=VALUE",
    ),
    "path": ("model = 'nowhere'\n", 1, "model of model.py is the path 'nowhere', but there is no"),
    "unknown subject": ("class Thing:\n    pass\nmodel = Thing()\n", 1, "Thing is no nn.Module"),
}


@pytest.mark.parametrize("case", FILES)
def test_the_users_file_holds_no_single_model(initkit, write, listing, case):
    text, code, message = FILES[case]
    write("model.py", text)
    done = initkit(*APPLY, "model.py")
    assert done.code == code
    assert message in done.err
    assert done.err.count("\n") == 1
    assert listing() == ["model.py"]


ERRORS = {
    "import": (
        "import torch\nimport torch_scattr\n",
        "error: model.py fails: ModuleNotFoundError: No module named 'torch_scattr'\n"
        "  model.py:2, in <module>\n    import torch_scattr\n"
        "if 'torch_scattr' is a package: pip install torch_scattr\n",
    ),
    "import by another name": ("import yaml_missing, cv2\n", "if 'yaml_missing' is a package"),
    "relative import": ("from . import other\n", "name it as a module: package.module:build\n"),
    "syntax": (
        "x = 1\ndef f(:\n    pass\n",
        "error: model.py fails: SyntaxError: invalid syntax\n  model.py:2\n    def f(:\n          ^\n",
    ),
    "null bytes": ("x = '\0'\n", "error: model.py fails: "),
    "encoding": ("# coding: nonsense\n", "error: model.py fails: SyntaxError"),
    "in a helper": (
        "import helper\nhelper.go()\n",
        "error: model.py fails: KeyError: 'x'\n  model.py:2, in <module>\n    helper.go()\n"
        "  helper.py:2, in go\n    return {}['x']\n",
    ),
    "in a library": (
        "import json\njson.loads('{')\n",
        "  model.py:2, in <module>\n    json.loads('{')\n",
    ),
    "in the builder": (
        "def model():\n    raise ValueError('too wide')\n",
        "error: model() of model.py fails: ValueError: too wide\n"
        "  model.py:2, in model\n    raise ValueError('too wide')\n",
    ),
    "exit": ("import sys\nsys.exit(3)\n", "error: model.py stops the process: SystemExit: 3\n"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_an_error_of_the_users_file_shows_the_users_frames_alone(initkit, write, listing, case):
    text, message = ERRORS[case]
    write("helper.py", "def go():\n    return {}['x']\n")
    write("model.py", text)
    done = initkit(*APPLY, "model.py")
    assert done.code == 1
    assert message in done.err
    assert "initkit_cli" not in done.err
    assert "importlib" not in done.err
    assert "json/decoder" not in done.err
    assert listing() == ["helper.py", "model.py"]


def test_errors_of_the_users_file_as_json(initkit, write):
    write("model.py", "1 / 0\n")
    error = initkit(*APPLY, "model.py", "--json").json["error"]
    assert error["kind"] == "user code"
    assert error["details"] == ["  model.py:1, in <module>", "    1 / 0"]


def test_an_error_in_the_users_forward_is_the_users(initkit, write, listing):
    write(
        "model.py",
        """
        from torch import nn

        class Net(nn.Sequential):
            def forward(self, x):
                return super().forward(x).reshape(17)

        model = Net(nn.Linear(3, 2))
        """,
    )
    done = initkit("apply", "--recipe", "fake/forward", "model.py")
    assert done.code == 1
    assert done.err.startswith("error: the code of model.py fails: RuntimeError: shape '[17]' is invalid")
    assert done.err.splitlines()[1:] == ["  model.py:5, in forward", "    return super().forward(x).reshape(17)"]
    assert listing() == ["model.py"]


def test_a_bug_of_ours_is_not_swallowed(initkit, listing):
    done = initkit("apply", "--recipe", "fake/bug", "model.py", "--json")
    assert done.code == 1
    assert "Traceback (most recent call last)" in done.err
    assert "RuntimeError: this is our bug" in done.err
    assert done.json["error"]["kind"] == "bug"
    assert listing() == ["model.py"]


def test_a_broken_plugin_leaves_the_others_working_and_fails_when_asked_for(initkit):
    both = {"INITKIT_PLUGINS": "fake,broken"}
    assert initkit(*APPLY, "--dry-run", "model.py", **both).code == 0
    done = initkit("apply", "--plugin", "broken", "model.py", **both)
    assert done.code == 1
    assert "plugin 'broken' (initkit-broken 1.5) is broken: import fails: ModuleNotFoundError" in done.err
    assert "a_module_that_is_not_there" in done.err
    done = initkit("list", **both)
    assert done.code == 0
    assert "fake/small" in done.out
    assert "plugin broken is broken" in done.err


def test_a_selection_of_plugins_that_does_not_exist(initkit):
    done = initkit("list", INITKIT_PLUGINS="fkae")
    assert done.code in (1, 2)
    assert "did you mean 'fake'" in done.err


def test_globs_that_match_nothing(initkit, listing):
    done = initkit(*APPLY, "--only", "nothing.*", "model.py")
    assert done.code == 1
    assert "nothing.*" in done.err
    assert listing() == ["model.py"]


def test_weights_that_do_not_fit(initkit, write, work, listing):
    write("model.safetensors", "no tensors")
    done = initkit(*APPLY, "--weights", "model.safetensors", "-o", "new/x.safetensors", "model.py")
    assert done.code == 1
    assert "cannot load model.safetensors" in done.err
    assert listing() == ["model.py", "model.safetensors"], "the folder that was made is gone again"


@pytest.mark.parametrize("name", ["model.safetensors", "model.report.json"])
def test_an_existing_output_is_not_overwritten_without_force(initkit, write, work, name):
    write(name, "mine")
    write("model.py", "raise SystemError('the file must not even run')\n")
    done = initkit(*APPLY, "model.py")
    assert done.code == 2
    assert done.err == f"error: {name} exists; add --force to replace it, or name another file with --output\n"
    assert (work / name).read_text() == "mine"
    write("model.py", "from torch import nn\nmodel = nn.Linear(2, 2)\n")
    assert initkit(*APPLY, "--force", "model.py").code == 0
    assert (work / name).read_bytes() != b"mine"


def test_a_file_in_the_place_of_the_output_folder(initkit, write, listing):
    write("out", "a file")
    done = initkit(*APPLY, "-o", "out/deep/x.safetensors", "model.py")
    assert done.code == 1
    assert done.err == "error: cannot write out/deep/x.safetensors: out is a file, not a folder\n"
    assert listing() == ["model.py", "out"]


def test_a_folder_in_the_place_of_an_output(initkit, work):
    (work / "model.report.json").mkdir()
    done = initkit(*APPLY, "--force", "model.py")
    assert done.code == 1
    assert "cannot write model.report.json: it is a folder" in done.err


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a file system that nobody can write to")
def test_a_folder_that_cannot_be_written_to(initkit):
    done = initkit(*APPLY, "-o", "/proc/self/x.safetensors", "model.py")
    assert done.code == 1
    assert done.err.startswith("error: cannot write /proc/self/x.safetensors: folder /proc/self: ")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_read_only_folder(initkit, work):
    (work / "out").mkdir(mode=0o555)
    done = initkit(*APPLY, "-o", "out/x.safetensors", "model.py")
    assert done.code == 1
    assert "Permission denied" in done.err


def test_ctrl_c_in_a_job_writes_nothing(environment, work, listing):
    started = work.parent / "started"
    process = subprocess.Popen(
        [sys.executable, "-m", "initkit_cli", "apply", "--recipe", "fake/slow", "-o", "new/x.safetensors", "model.py"],
        cwd=work,
        env={**environment, "FAKE_STARTED": str(started)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not started.exists() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (out, err) == ("", "error: interrupted; nothing was written\n")
    assert listing() == ["model.py"]


def test_an_interrupted_job_says_how_to_go_on(initkit, listing):
    done = initkit("apply", "--recipe", "fake/paused", "-o", "new/x.safetensors", "model.py")
    assert done.code == 130
    assert done.err == ("error: interrupted; nothing was written; go on with --set checkpoint=state.safetensors\n")
    assert listing() == ["model.py"]


def test_a_reader_that_leaves_is_no_error(environment, work):
    process = subprocess.Popen(
        [sys.executable, "-m", "initkit_cli", "list"],
        cwd=work,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    err = process.stderr.read()
    process.wait()
    process.stderr.close()
    assert b"Traceback" not in err
    assert b"Exception ignored" not in err


def test_json_holds_one_object_even_for_help_like_words(initkit):
    done = initkit("plugins", "--json")
    assert json.loads(done.out)["plugins"][0]["name"] == "fake"
