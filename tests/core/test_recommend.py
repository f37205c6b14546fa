"""What installed recipes offer for a model: by types and shapes alone, on the meta device too."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import initkit
from initkit.cards import Card
from initkit.errors import PlanError, PluginError

pytest.importorskip("torch_geometric")


@pytest.fixture
def gcn() -> nn.Module:
    from torch_geometric.nn.models import GCN

    return GCN(5, 8, num_layers=3, out_channels=2)


def test_offers_say_what_why_and_what_is_lacking(gcn: nn.Module) -> None:
    found = initkit.recommend(gcn)
    offer = next(offer for offer in found.offers if offer.recipe == "gnn/virgo")
    assert offer.claims == [f"convs.{i}.lin.weight" for i in range(3)]
    assert offer.default
    assert not offer.ready
    assert offer.lacks[0].startswith("graph (")
    assert offer.why.startswith("3 Linear (convs.0.lin")
    assert 0.8 < offer.share < 1
    assert next(o for o in initkit.recommend(gcn, graph=object()).offers if o.recipe == "gnn/virgo").ready
    assert sum(offer.default for offer in found.offers if offer.recipe.startswith("gnn/")) == 1
    silent = next(offer for offer in found.offers if offer.recipe == "gnn/rni")
    assert silent.problem
    held = json.loads(found.to_json())
    assert held["offers"][0]["recipe"] == "gnn/virgo"
    assert "gnn/virgo *" in str(found)


def test_the_meta_device_gives_the_same(gcn: nn.Module) -> None:
    with torch.device("meta"):
        from torch_geometric.nn.models import GCN

        hollow = GCN(5, 8, num_layers=3, out_channels=2)
    assert initkit.recommend(hollow).to_json() == initkit.recommend(gcn).to_json()


def test_nobody_knows_the_subject() -> None:
    with pytest.raises(PlanError, match="no installed plugin knows its tensors"):
        initkit.recommend(object())


def test_parameters_that_nobody_claims_are_listed() -> None:
    found = initkit.recommend(nn.Sequential(nn.Conv1d(2, 3, 3)))
    assert "0.weight" in found.unclaimed


def test_a_recipe_of_layers_from_a_package_is_not_imported_without_it(tmp_path: Path) -> None:
    code = (
        "import sys, torch, initkit\n"
        "found = initkit.recommend(torch.nn.Linear(3, 2))\n"
        "assert not any(o.claims for o in found.offers if o.recipe.startswith('gnn/'))\n"
        "assert 'torch_geometric' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_a_card_checks_its_packages() -> None:
    assert Card("a", "b:C", "s", layers_from=["x"]).layers_from == ("x",)
    with pytest.raises(PluginError, match="layers_from is a sequence"):
        Card("a", "b:C", "s", layers_from="x")
    assert Card("a", "nowhere:C", "s", layers_from=["not_imported_package"]).claims(nn.Linear(2, 2)) == []
