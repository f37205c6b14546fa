"""The example, through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from initkit_cli.__main__ import main
from initkit_poincare.plugin import initkit_example

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def report(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    assert main(list(words)) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_the_examples_are_one_file() -> None:
    assert (EXAMPLES / "poincare.py").resolve() == Path(initkit_example()).resolve()


def test_a_real_tree_as_points(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    done = report(capsys, "apply", "--plugin", "poincare", "--recipe", "sarkar", initkit_example(), "--json")
    (row,) = done["notes"]["poincare/sarkar embedding"]  # type: ignore[index]
    assert row["nodes"] == 143
    assert row["root"] == "Carnivora"
    assert row["map"] == 1.0
    assert (tmp_path / "example.safetensors").exists()


def test_the_default_recipe_of_a_table_and_the_disc(capsys: pytest.CaptureFixture[str]) -> None:
    done = report(capsys, "apply", "--plugin", "poincare", initkit_example(), "--json")
    assert done["tensors"]["points"]["recipe"] == "poincare/embedding_uniform"  # type: ignore[index]
    disc = ["--recipe", "poincare/sarkar", "--set-model", "dim=2", "--set", "tau=1.2", initkit_example()]
    done = report(capsys, "apply", *disc, "--json", "-o", "disc.safetensors")
    assert done["tensors"]["points"]["shape"] == [143, 2]  # type: ignore[index]


def test_a_network_gets_the_identity_by_default(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "from hypll.manifolds.poincare_ball import Curvature, PoincareBall\n"
        "from hypll.nn import HLinear\n"
        "from torch import nn\n"
        "ball = PoincareBall(Curvature(1.0))\n"
        "model = nn.Sequential(HLinear(8, 8, ball), HLinear(8, 4, ball))\n"
    )
    done = report(capsys, "apply", "--plugin", "poincare", "net.py", "--json")
    assert done["tensors"]["0.z"]["recipe"] == "poincare/identity"  # type: ignore[index]


def test_trees_from_files_and_mistakes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "loop.csv").write_text("a,b\nb,c\nc,a\n")
    words = ["apply", "--recipe", "poincare/sarkar", initkit_example(), "--data"]
    assert main([*words, "tree=loop.csv"]) == 1
    said = capsys.readouterr().err
    assert "closes a cycle" in said
    assert "Traceback" not in said
    assert not list(tmp_path.glob("*.safetensors"))


def test_inspect_and_compare(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", initkit_example()]) == 0
    assert "projection boundary" in capsys.readouterr().out
    starts = ["--recipe", "poincare/embedding_uniform", "--recipe", "poincare/sarkar"]
    assert main(["compare", initkit_example(), *starts, "--steps", "5", "--seeds", "2"]) == 0
    assert "poincare/sarkar: lower than" in capsys.readouterr().out
