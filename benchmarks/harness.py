"""Find, run and record benchmarks."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
LIBRARIES = (
    "torch",
    "torch-geometric",
    "numpy",
    "scipy",
    "scikit-learn",
    "scikit-image",
    "siren-pytorch",
    "numba",
    "gensim",
    "transformers",
    "tokenizers",
    "pymetis",
    "torchopt",
    "higher",
    "hmmlearn",
    "ruptures",
    "kmedoids",
    "jumpmodels",
    "statsmodels",
    "initkit-core",
    "transformers",
    "initkit-gnn",
    "initkit-poincare",
    "geoopt",
    "hypll",
    "flashkan",
    "initkit-kan",
    "initkit-inr",
    "initkit-ssm",
    "initkit-ihmm",
    "initkit-tokenizer",
    "wechsel",
    "deepfocus",
    "fasttext-community",
)


def data_folder() -> Path:
    """The folder of real data sets: ``$INITKIT_DATA``, or ``shared/data`` beside the repository."""
    return Path(os.environ.get("INITKIT_DATA", HERE.parent.parent / "shared" / "data"))


def areas() -> list[str]:
    return sorted(p.parent.name for p in HERE.glob("*/__init__.py"))


def names(area: str) -> list[str]:
    return sorted(p.stem for p in (HERE / area).glob("*.py") if not p.stem.startswith("_"))


def cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def run(area: str, name: str) -> dict[str, Any]:
    """Run one benchmark and write ``results/AREA/NAME.json``."""
    figures = importlib.import_module(f"benchmarks.{area}.{name}").run()
    record = {
        "area": area,
        "name": name,
        "versions": versions(),
        "machine": {"cpu": cpu_model(), "cores": os.cpu_count(), "system": platform.system()},
        **figures,
    }
    path = RESULTS / area / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
    print(f"{area}/{name}: written to {path.relative_to(HERE.parent)}")
    return record
