"""A Gaussian HMM of the business cycle: US growth, inflation and interest, 1959 to 2009, from statsmodels.

It needs statsmodels for the data: ``pip install "initkit-ihmm[example]"``. Run it with
``initkit apply --plugin ihmm ihmm.py``: the report's notes hold the regimes, quarter by quarter.
"""

from typing import Any

import numpy as np
from hmmlearn.hmm import GaussianHMM
from statsmodels.datasets import macrodata


def quarters() -> Any:
    """Growth of real GDP and consumption, inflation (per cent, annual rates) and the bill rate, (202, 4)."""
    table = macrodata.load_pandas().data
    growth = 400 * np.diff(np.log(table[["realgdp", "realcons"]].to_numpy()), axis=0)
    return np.column_stack([growth, table[["infl", "tbilrate"]].to_numpy()[1:]])


sequences = quarters()


def model() -> Any:
    """Three regimes with covariances of their own."""
    return GaussianHMM(n_components=3, covariance_type="full", n_iter=200, tol=1e-3)


if __name__ == "__main__":
    import initkit

    hmm = model()
    report = initkit.apply(hmm, "ihmm/portfolio", sequences=sequences, seed=0)
    print(report.notes["timeline"]["line"])
    hmm.fit(sequences)  # init_params is empty now: fit() begins where we left it
    print(f"log-likelihood {hmm.score(sequences):.1f} after {hmm.monitor_.iter} EM steps")
