"""The example's series with the states that the portfolio's start and the fitted model give each quarter."""

from __future__ import annotations

from typing import Any

import initkit
from initkit_ihmm import example
from initkit_ihmm.hmmlearn_models import quiet

SEED, RESTARTS = 0, 10
COLUMNS = ("growth of GDP", "growth of consumption", "inflation", "bill rate")


def run() -> dict[str, Any]:
    x = example.sequences
    model = example.model()
    report = initkit.apply(model, "ihmm/portfolio", sequences=x, seed=SEED)
    start = report.outputs["labels"].tolist()
    model.fit(x)
    others = []
    for k in range(RESTARTS):
        with quiet():
            peer = example.model().set_params(random_state=k).fit(x)
            others.append(round(float(peer.score(x)), 3))
    return {
        "seeds": [SEED],
        "columns": list(COLUMNS),
        "rows": [
            {"values": [round(float(value), 3) for value in row], "start": before, "fitted": after}
            for row, before, after in zip(x, start, model.predict(x).tolist(), strict=True)
        ],
        "log_likelihood": round(float(model.score(x)), 3),
        "steps": model.monitor_.iter,
        "screening": report.notes["screening"],
        "hmmlearn": others,
    }
