"""``initkit apply --report``: the page, checked before work starts and written with the model or not at all."""

from __future__ import annotations

import json
import os
import re

import pytest

pytest.importorskip("matplotlib")

APPLY = ("apply", "--plugin", "fake", "--recipe", "small")
MODEL = """
import torch
from torch import nn

inputs = torch.arange(24.0).reshape(8, 3) / 10


def model():
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
"""


def data_of(path):
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'id="initkit-data">(.*?)</script>', text, re.DOTALL)[1])


def test_the_page_is_written_beside_the_model_with_the_signal_before_and_after(initkit, write, work, listing):
    write("model.py", MODEL)
    done = initkit(*APPLY, "--report", "new/page.html", "model.py")
    assert done.code == 0, done.err
    assert listing() == ["model.py", "model.report.json", "model.safetensors", "new", "new/page.html"]
    assert done.out.endswith("wrote model.safetensors\nwrote model.report.json\nwrote new/page.html\n")
    assert done.err == ""
    data = data_of(work / "new" / "page.html")
    assert data["report"] == json.loads((work / "model.report.json").read_text())
    assert set(data["histograms"]) == {"0.weight", "2.weight"}
    (before, after) = (data["inspection"]["before"], data["inspection"])
    assert before["tables"]["layers"]["rows"] != after["tables"]["layers"]["rows"]


def test_the_model_and_the_page_are_the_same_with_and_without_a_look(initkit, write, work):
    write("model.py", MODEL)
    for name, words in (("a", ("--report", "a.html")), ("b", ("--report", "b.html")), ("c", ())):
        assert initkit(*APPLY, *words, "-o", f"{name}.safetensors", "model.py").code == 0
    assert (work / "a.html").read_bytes() == (work / "b.html").read_bytes()
    assert (work / "a.safetensors").read_bytes() == (work / "c.safetensors").read_bytes()


def test_without_inputs_the_page_lacks_a_part_and_one_line_says_so(initkit, work):
    done = initkit(*APPLY, "--report", "page.html", "model.py", "--json")
    assert done.code == 0
    assert done.json["recipes"][0]["id"] == "fake/small"
    said = done.err.splitlines()
    assert said[0] == (
        "the page shows no signal before and after: define the name 'inputs' in model.py, what the model is called with"
    )
    assert said[1:] == ["wrote model.safetensors", "wrote model.report.json", "wrote page.html"]
    assert "inspection" not in data_of(work / "page.html")


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ("torch.zeros(8, 5)", "Sequential fails in forward"),
        ("lambda: 1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_look_that_fails_does_not_stop_the_work(initkit, write, listing, inputs, words):
    text = MODEL.replace("torch.arange(24.0).reshape(8, 3) / 10", inputs)
    write("model.py", text)
    done = initkit(*APPLY, "--report", "page.html", "model.py")
    assert done.code == 0, done.err
    (line,) = done.err.splitlines()
    assert line.startswith("the page shows no signal before and after: ")
    assert words in line
    assert listing() == ["model.py", "model.report.json", "model.safetensors", "page.html"]


def test_data_for_the_look_may_be_given(initkit, write, work):
    write("data.py", "import torch\nx = torch.ones(4, 3)\n")
    done = initkit(*APPLY, "--report", "page.html", "--data", "inputs=data.py:x", "model.py")
    assert done.code == 0, done.err
    assert "inspection" in data_of(work / "page.html")
    done = initkit(*APPLY, "--data", "inputs=data.py:x", "--force", "model.py")
    assert done.code == 2
    assert "fake/small does not ask for it" in done.err


@pytest.mark.parametrize(
    ("page", "code", "words"),
    [
        ("page.html", 2, "page.html exists; add --force to replace it, or name another file with --report"),
        ("page.json", 2, "--report page.json: the page's name must end in .html: page.html"),
        ("folder", 2, "--report folder is a folder; name a file in it: folder/model.html"),
        ("page.html/x.html", 1, "cannot write page.html/x.html: page.html is a file, not a folder"),
    ],
)
def test_mistakes_in_the_place_are_found_before_work_starts(initkit, write, work, listing, page, code, words):
    write("page.html", "mine")
    write("model.py", "raise RuntimeError('the file runs')\n")
    (work / "folder").mkdir()
    before = listing()
    done = initkit(*APPLY, "--report", page, "-o", "out/x.safetensors", "model.py")
    assert done.code == code
    (line,) = done.err.splitlines()
    assert words in line
    assert listing() == before
    assert (work / "page.html").read_text() == "mine"


def test_force_replaces_an_existing_page(initkit, write, work):
    write("page.html", "mine")
    assert initkit(*APPLY, "--report", "page.html", "--force", "model.py").code == 0
    assert "<!doctype html>" in (work / "page.html").read_text()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_that_cannot_be_written_to(initkit, work, listing):
    (work / "closed").mkdir(mode=0o500)
    before = listing()
    done = initkit(*APPLY, "--report", "closed/page.html", "-o", "out/x.safetensors", "model.py")
    assert done.code == 1
    assert "cannot write closed/page.html: folder closed: Permission denied; name another with --report" in done.err
    assert listing() == before


def test_without_what_draws_pages_nothing_starts(cold, environment, write, listing):
    write("sitecustomize.py", "import sys\nsys.modules['matplotlib'] = None\n")
    write("model.py", "raise RuntimeError('the file runs')\n")
    before = listing()
    path = os.pathsep.join([".", environment["PYTHONPATH"]])
    done = cold(*APPLY, "--report", "page.html", "model.py", PYTHONPATH=path)
    assert done.code == 2
    assert '--report needs matplotlib; install it with: pip install "initkit-core[html]"' in done.err
    assert listing() == before


def test_a_dry_run_writes_no_page(initkit, listing):
    done = initkit(*APPLY, "--dry-run", "--report", "page.html", "model.py")
    assert done.code == 0
    assert listing() == ["model.py"]


def test_a_page_that_cannot_be_written_leaves_nothing_behind(initkit, write, work, listing):
    write(
        "model.py",
        """
        import initkit
        from torch import nn

        def full(*_, **__):
            raise OSError(28, "No space left on device")

        initkit.write_page = full
        model = nn.Sequential(nn.Linear(3, 2))
        """,
    )
    done = initkit(*APPLY, "--report", "new/page.html", "model.py")
    assert done.code == 1
    assert "No space left on device; nothing was written" in done.err
    assert listing() == ["model.py"]
