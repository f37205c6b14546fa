"""Three fake plugins, installed by a folder on the path, and two ways to run the command line as a process.

``initkit`` runs in a fork of a process that has torch loaded already, which saves seconds a test;
``cold`` starts Python anew.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

CARDS = """
from initkit import Card, Need, Probe, hookimpl

@hookimpl
def initkit_probes():
    return [Probe("width", "fakeplug_recipes:width", "How wide the first layer is.", needs=["signal?"])]

@hookimpl
def initkit_recipes():
    home = "fakeplug_recipes"
    return [
        Card("convs", home + ":Convs", "Convolutions only."),
        Card("small", home + ":Small", "Small normal weights."),
        Card("needy", home + ":Needy", "Asks for a signal.", needs=(Need("signal", help="what to fit"), "inputs?")),
        Card("loaded", home + ":Loaded", "Reads its own kind of file.", needs=(Need("thing", loader=home + ":load"),)),
        Card("slow", home + ":Slow", "A job that takes for ever."),
        Card("forward", home + ":Forward", "Runs the model."),
        Card("paused", home + ":Paused", "Is interrupted and has saved its state."),
        Card("bug", home + ":Bug", "Has a bug."),
    ]
"""

RECIPES = '''
from __future__ import annotations
import os, pathlib, time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal
import torch
from annotated_types import Gt, Le
from initkit import Constant, Fill, Job, Keep, NeedError, Normal, Recipe, Table, Verdict
from torch import nn

def load(path):
    if pathlib.Path(path).read_text() == "bad":
        raise NeedError("thing: bad file")
    return float(pathlib.Path(path).read_text())

def width(scene, *, signal=None):
    rows = [{"measure": "width", "value": len(scene.slots["0.weight"].read())}]
    yield Table("size", rows, compare=("value",))
    yield Verdict("FAIL" if rows[0]["value"] > 4 else "PASS", f"width {rows[0]['value']}, signal {signal is not None}")

@dataclass(frozen=True)
class Small(Recipe):
    """Small normal weights.

    Source: A. Author, A paper on small weights,
    Journal 2020.
    """

    std: Annotated[float, Gt(0), Le(10)] = 0.02
    kind: Literal["plain", "fancy"] = "plain"
    widths: tuple[int, ...] = ()
    zero_bias: bool = False
    transform: Callable[[float], float] | None = None
    bibtex: ClassVar[str] = "@article{author2020small,\\n  year = {2020}\\n}"

    def plan(self, model):
        std = self.std if self.transform is None else self.transform(self.std)
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                yield Fill(name, Normal(std), why=f"{self.kind} small weights of standard deviation {std}")
            elif self.zero_bias:
                yield Fill(name, Constant(0.0), why="no offset")
            elif parameter.ndim == 1 and "bias" in name:
                yield Keep(name, why="biases stay")

@dataclass(frozen=True)
class Convs(Small):
    """Convolutions only."""

    def plan(self, model):
        for name, module in model.named_modules():
            if isinstance(module, nn.Conv2d):
                yield Fill(name + ".weight", Normal(self.std), why="convolution")

@dataclass(frozen=True)
class Needy(Recipe):
    """Asks for a signal."""

    def plan(self, model, *, signal, inputs=None):
        value = float(torch.as_tensor(signal).double().mean())
        for name, parameter in model.named_parameters():
            yield Fill(name, Constant(value), why=f"signal {value}, inputs {inputs is not None}")

@dataclass(frozen=True)
class Loaded(Recipe):
    """Reads its own kind of file."""

    def plan(self, model, *, thing):
        for name, parameter in model.named_parameters():
            yield Fill(name, Constant(thing), why="thing")

@dataclass(frozen=True)
class Quiet(Recipe):
    """Claims nothing."""

    @classmethod
    def claims(cls, model):
        return []

@dataclass(frozen=True)
class Slow(Quiet):
    """A job that takes for ever."""

    def plan(self, model):
        def wait(ctx):
            pathlib.Path(os.environ["FAKE_STARTED"]).touch()
            time.sleep(60)
            return {"w": torch.zeros(1)}
        job = Job("wait", wait, "waits")
        yield job
        for name, parameter in model.named_parameters():
            yield Fill(name, job["w"], why="waited")

@dataclass(frozen=True)
class Forward(Quiet):
    """Runs the model."""

    def plan(self, model):
        def measure(ctx):
            ctx.forward(torch.ones(1, 3))
            ctx.note("measured", [{"layer": "fc", "std": 0.5}])
            return {}
        yield Job("measure", measure, "measures")
        yield Fill("0.weight", Normal(0.1), why="measured")

@dataclass(frozen=True)
class Paused(Quiet):
    """Is interrupted and has saved its state."""

    def plan(self, model):
        def stop(ctx):
            raise KeyboardInterrupt("go on with --set checkpoint=state.safetensors")
        yield Job("stop", stop, "stops")
        yield Fill("0.weight", Normal(0.1), why="after the stop")

@dataclass(frozen=True)
class Bug(Quiet):
    """Has a bug."""

    def plan(self, model):
        raise RuntimeError("this is our bug")
'''

SERVER = """
import atexit, json, os, sys, traceback
import torch, numpy, pydantic, safetensors.torch, typer, rich.table, rich.progress
import initkit._apply, initkit._load, initkit._save, initkit.report
import initkit._compare, initkit._diff, initkit._inspect, initkit._recommend
import initkit_cli.app, initkit_cli.comparing, initkit_cli.inspecting, initkit_cli.run
for line in sys.stdin:
    request = json.loads(line)
    child = os.fork()
    if child == 0:
        os.chdir(request["cwd"])
        os.environ.update(request["env"])
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.argv = ["initkit", *request["words"]]
        from initkit_cli.__main__ import main
        code = 1
        try:
            code = main()
        except BaseException:
            traceback.print_exc()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # tearing torch down takes longer than most commands
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""

MODEL = """
from torch import nn

def model(width: int = 4):
    return nn.Sequential(nn.Linear(3, width), nn.Linear(width, 2))
"""


@dataclass(frozen=True)
class Done:
    """A command that has run."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Done]


@pytest.fixture(scope="session")
def fake_plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    _install(folder, "fake", "fakeplug", CARDS)
    (folder / "fakeplug_recipes.py").write_text(RECIPES)
    other = CARDS.replace("fakeplug_recipes", "otherplug_recipes")
    _install(folder, "other", "otherplug", other)
    (folder / "otherplug_recipes.py").write_text(RECIPES)
    _install(folder, "broken", "brokenplug", "import a_module_that_is_not_there\n")
    return folder


def _install(folder: Path, name: str, module: str, source: str) -> None:
    (folder / f"{module}.py").write_text(source)
    info = folder / f"initkit_{name}-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: initkit-{name}\nVersion: 1.5\n")
    (info / "entry_points.txt").write_text(f"[initkit]\n{name} = {module}\n")


@pytest.fixture(scope="session")
def environment(fake_plugins: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "FORCE_COLOR", "NO_COLOR", "PYTHONWARNINGS")}
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join([str(fake_plugins), *filter(None, [kept.get("PYTHONPATH")])]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "INITKIT_PLUGINS": "fake",
    }


@pytest.fixture(scope="session")
def server(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder with a ``model.py``."""
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "model.py").write_text(MODEL)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def initkit(server: subprocess.Popen[str], work: Path, tmp_path: Path) -> Run:
    """Run ``initkit WORDS`` in the working folder."""

    def run(*words: str, cwd: Path = work, **env: str) -> Done:
        out, err = tmp_path / "out.txt", tmp_path / "err.txt"
        request = {"words": words, "cwd": str(cwd), "env": env, "out": str(out), "err": str(err)}
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        return Done(code, out.read_text(), err.read_text())

    return run


@pytest.fixture
def cold(environment: dict[str, str], work: Path) -> Run:
    """Run ``python -m initkit_cli WORDS`` in a fresh process."""

    def run(*words: str, cwd: Path = work, python: tuple[str, ...] = (), **env: str) -> Done:
        command = [sys.executable, *python, "-m", "initkit_cli", *words]
        done = subprocess.run(command, cwd=cwd, env={**environment, **env}, capture_output=True, text=True)
        return Done(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def write(work: Path) -> Callable[[str, str], Path]:
    """Write a file of the working folder."""

    def put(name: str, text: str) -> Path:
        path = work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"))
        return path

    return put


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def listing(work: Path) -> Callable[[], list[str]]:
    """Names of all files and folders of the working folder."""
    return lambda: files(work)
