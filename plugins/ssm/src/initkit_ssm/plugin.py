"""The door of the ssm plugin: its cards. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

from initkit import Card, Need, Probe, hookimpl

INPUTS = Need("inputs", help="what the model is called with: a tensor (batch, length, ...), a tuple or a dict")


@hookimpl
def initkit_recipes() -> list[Card]:
    """Cards, the default first."""
    return [
        Card(
            "s4d",
            "initkit_ssm.s4d:S4D",
            "Diagonal state space models: eigenvalues by the laws of HiPPO and its relatives, dt over two decades.",
        ),
        Card(
            "lru",
            "initkit_ssm.lru:Lru",
            "Linear recurrent units: eigenvalues uniform on a ring, inputs scaled so that states keep their size.",
        ),
        Card(
            "s5",
            "initkit_ssm.s5:S5",
            "S5: eigenvalues of HiPPO-LegS's normal part in blocks, B and C drawn and turned into its eigenbasis.",
            bits="machine",
        ),
        Card(
            "s4_dplr",
            "initkit_ssm.s4_dplr:S4Dplr",
            "S4 with a low-rank term: HiPPO matrices, exactly, in the basis of their normal part.",
            bits="machine",
        ),
        Card(
            "mamba",
            "initkit_ssm.mamba:Mamba",
            "Mamba, Mamba-2, Mamba-3 and gated delta nets as their authors start them: "
            "time constants from one step to 1,000.",
        ),
        Card(
            "rg_lru",
            "initkit_ssm.rg_lru:RgLru",
            "RG-LRU as in Griffin: decays on a ring, gates that start half open.",
        ),
        Card(
            "gate_decay",
            "initkit_ssm.gate_decay:GateDecay",
            "Gates that remember: published starts of mLSTM, sLSTM and RWKV, or log-uniform time constants.",
        ),
        Card(
            "autocorr_timescale",
            "initkit_ssm.autocorr_timescale:AutocorrTimescale",
            "Time steps from data: dt log-uniform up to a bound that the autocorrelation of a layer's input sets.",
            needs=(INPUTS, Need("mask", help="(batch, length), which steps count", optional=True)),
            bits="machine",
        ),
        Card(
            "output_scale",
            "initkit_ssm.output_scale:OutputScale",
            "Unit outputs on real data: C and D of each layer are scaled by what the layer makes of its own input.",
            needs=(INPUTS,),
            bits="machine",
        ),
        Card(
            "ptd",
            "initkit_ssm.ptd:Ptd",
            "Perturb-then-diagonalise: the eigenvalues of a matrix near HiPPO-LegS whose eigenvectors are well "
            "conditioned.",
            bits="machine",
        ),
        Card(
            "repair",
            "initkit_ssm.repair:Repair",
            "Repair layers whose memory is broken from the start, and leave all others.",
        ),
    ]


@hookimpl
def initkit_probes() -> list[Probe]:
    """The audit of time constants."""
    return [
        Probe(
            "time_constants",
            "initkit_ssm.probe:time_constants",
            "How many steps recurrent layers remember as they start, and whether that is broken.",
            needs=(Need("length", help="number of steps of the sequences that the model will read", optional=True),),
        )
    ]


@hookimpl
def initkit_example() -> str:
    """An S4D classifier of handwritten digits."""
    return str(Path(__file__).with_name("example_s4d.py"))
