"""WINNER: spectral centroids, scales, the noise that is added, loading of signals, bad input."""

from __future__ import annotations

import math
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from torch import nn

import initkit
from initkit import NeedError, OptionError, PlanError
from initkit_inr.signals import load_signal
from initkit_inr.spectra import Sampled, centroids, rms_frequencies
from initkit_inr.winner import Noise, Winner

from .field_networks import Field, FinerLayer, FoldedLayer, GaussLayer, SineLayer

N = np.arange(1024)
TONE = np.sin(2 * np.pi * 100 * N / 1024)
CODE = Winner(scale="code")


def noise(signal: Any, axes: int, recipe: Winner = CODE) -> Noise:
    return recipe.noise(Sampled.of(signal, axes), axes, [2.0] * axes)


def rows_of_cycles(cycles: int) -> Any:
    return np.tile(np.sin(2 * np.pi * cycles * np.arange(64) / 64), (32, 1))


def test_a_tone() -> None:
    found = noise(TONE, 1)
    assert found.psi == pytest.approx((0.1953125,))
    assert found.s0 == pytest.approx((2608.120755,), rel=1e-6)
    assert found.s1 == pytest.approx(0.5859375)


def test_two_tones_a_ramp_and_a_striped_picture() -> None:
    mix = np.sin(2 * np.pi * 50 * N / 1024) + 0.5 * np.sin(2 * np.pi * 300 * N / 1024)
    assert noise(mix, 1).psi == pytest.approx((0.2604166667,), rel=1e-9)
    assert noise(np.arange(16.0), 1).psi == pytest.approx((0.202649156008,), rel=1e-11)
    striped = noise(rows_of_cycles(8), 2)
    assert striped.psi == pytest.approx((0.25,))
    assert striped.s0 == pytest.approx((35.674760,), rel=1e-6)
    assert striped.s1 == pytest.approx(0.1)


def test_channels_divide_twice() -> None:
    three = np.stack([rows_of_cycles(8), np.zeros((32, 64)), np.roll(rows_of_cycles(16), 1, 1)], -1)
    found = noise(three, 2)
    assert found.psi == pytest.approx((0.0833333333,))
    assert found.s0 == pytest.approx((6.483764,), rel=1e-6)
    assert found.s1 == pytest.approx(0.0111111, rel=1e-5)
    single = noise(three, 2, Winner(scale="code", channel_norm="single"))
    assert single.s1 == pytest.approx(3 * found.s1, rel=1e-6)
    assert noise(three, 2, Winner(scale="code", channel_norm="none")).s1 == pytest.approx(9 * found.s1, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "psi", "s0", "s1"),
    [
        ("camera", 0.1322321, 24.187406, 0.052893),
        ("brick", 0.1344339, 24.470018, None),
        ("grass", 0.2266061, 33.897214, None),
        ("astronaut", 0.0438577, 3.524428, 0.005848),
        ("chelsea", 0.0393576, 3.174542, None),
    ],
)
def test_pictures(name: str, psi: float, s0: float, s1: float | None) -> None:
    picture = getattr(skimage.data, name)()
    found = noise(picture / 255.0, 2)
    assert found.psi == pytest.approx((psi,), abs=6e-8)
    assert found.s0 == pytest.approx((s0,), abs=6e-6)
    if s1 is not None:
        assert found.s1 == pytest.approx(s1, abs=6e-7)
    assert noise(picture, 2).s0 == pytest.approx(found.s0, rel=1e-6)  # bytes are read as [0, 1]


def test_the_constant_part_counts_unless_it_is_removed() -> None:
    camera, astronaut = skimage.data.camera() / 127.5 - 1, skimage.data.astronaut() / 127.5 - 1
    assert noise(camera, 2).psi == pytest.approx((0.1727733,), abs=6e-8)
    assert noise(astronaut, 2).psi == pytest.approx((0.0532731,), abs=6e-8)
    away = Winner(scale="code", remove_mean=True)
    assert noise(camera, 2, away).psi == pytest.approx(noise(camera / 2 + 0.5, 2, away).psi)


def test_scales_that_know_the_number_of_samples() -> None:
    nyquist = noise(TONE, 1, Winner(scale="nyquist"))
    assert nyquist.s0 == pytest.approx((0.3 * 0.1953125 * math.pi * 1023 / 2,), rel=1e-6)
    assert nyquist.s1 == pytest.approx(0.5859375)
    rms = noise(TONE + 7, 1, Winner(scale="rms"))
    assert rms.s0 == pytest.approx((2 * math.pi * 100 / 1024 * 1023 / 2,), rel=1e-6)
    assert noise(TONE, 1, Winner()).scale == "nyquist"
    assert noise(np.tile(TONE, 80), 1, Winner()).scale == "code"
    assert noise(rows_of_cycles(8), 2, Winner()).scale == "code"


def test_each_axis_has_its_own_scale() -> None:
    recipe = Winner(scale="nyquist", axes="all")
    found = noise(rows_of_cycles(8), 2, recipe)
    assert found.psi == pytest.approx((0.0, 0.25))
    assert found.s0 == pytest.approx((0.0, 0.6 * 0.25 * math.pi * 63 / 2), rel=1e-6)
    transposed = noise(rows_of_cycles(8).T, 2, recipe)
    assert transposed.s0 == pytest.approx(found.s0[::-1])
    assert centroids(Sampled.of(rows_of_cycles(8), 2), "all") == pytest.approx([0, 0.125])
    assert rms_frequencies(Sampled.of(rows_of_cycles(8), 2)) == pytest.approx([0.125])


def test_other_constants() -> None:
    paper = noise(TONE, 1, Winner(scale="code", constants="paper"))
    assert paper.s0 == pytest.approx((3500 * -math.expm1(-5 * 0.1953125),), rel=1e-6)
    readme = noise(TONE, 1, Winner(scale="code", constants="readme"))
    assert readme.s0 == pytest.approx((3500 * -math.expm1(-7 * math.sqrt(0.1953125)),), rel=1e-6)


def test_the_noise_is_added_to_sirens_own_weights() -> None:
    base, noisy = Field(SineLayer, axes=1, width=256), Field(SineLayer, axes=1, width=256)
    initkit.apply(base, "inr/siren", seed=5)
    report = initkit.apply(noisy, initkit.recipe("inr/winner", s0=600.0, s1=3.0), seed=5)
    for k, std in ((0, 20.0), (1, 0.1)):
        difference = noisy.net[k].linear.weight.detach() - base.net[k].linear.weight.detach()
        assert float(difference.std()) == pytest.approx(std, rel=0.12)
        assert torch.equal(noisy.net[k].linear.bias, base.net[k].linear.bias)
    assert torch.equal(noisy.net[2].weight, base.net[2].weight)
    assert report["net.0.linear.weight"].draw == "U(-1, 1) + N(0, 20²)"
    again = initkit.apply(noisy, initkit.recipe("inr/winner", s0=600.0, s1=3.0), seed=5)
    assert again.to_json() == report.to_json()


def test_explicit_scales_are_kept_for_every_number_of_axes() -> None:
    for axes in (1, 2, 3):
        plan = initkit.plan(Field(SineLayer, axes=axes), initkit.recipe("inr/winner", s0=60.0, s1=0.3))
        assert "S0 = 60 over ω = 30" in plan["net.0.linear.weight"].why


def test_a_wide_first_frequency() -> None:
    """Under the authors' constants S0 is over the hidden ω, as in their code; the signal's own frequencies are not."""
    model = nn.Sequential(SineLayer(1, 16, 300.0), SineLayer(16, 16), nn.Linear(16, 1))
    code = initkit.plan(model, initkit.recipe("inr/winner", scale="code"), signal=TONE)
    assert "over ω = 30" in code["0.linear.weight"].why
    nyquist = initkit.plan(model, initkit.recipe("inr/winner", scale="nyquist"), signal=TONE)
    assert "over ω = 300" in nyquist["0.linear.weight"].why


def test_the_extent_of_the_coordinates_counts() -> None:
    model = Field(SineLayer, axes=1)
    wide = initkit.plan(model, "inr/winner", signal=TONE, coords=torch.linspace(-1, 1, 1024)[:, None])
    narrow = initkit.plan(model, "inr/winner", signal=TONE, coords=torch.linspace(0, 1, 1024)[:, None])
    stds = [plan["net.0.linear.weight"].draw.noise.std for plan in (wide, narrow)]
    assert stds[1] == pytest.approx(2 * stds[0], rel=1e-6)


def test_volumes() -> None:
    volume = np.random.default_rng(0).standard_normal((8, 8, 8, 1))
    model = Field(SineLayer, axes=3)
    with pytest.raises(OptionError, match="no formula for 3 axes; set s0 and s1, or scale=nyquist"):
        initkit.plan(model, "inr/winner", signal=volume)
    plan = initkit.plan(model, initkit.recipe("inr/winner", scale="nyquist"), signal=volume)
    assert "S0 = " in plan["net.0.linear.weight"].why


def test_silence_is_siren() -> None:
    with pytest.warns(UserWarning, match="constant along the analysed axis: the start is that of inr/siren"):
        plan = initkit.plan(Field(SineLayer, axes=1), "inr/winner", signal=np.zeros(64))
    assert plan["net.0.linear.weight"].draw == initkit.Uniform(-1.0, 1.0)


def test_remarks() -> None:
    with pytest.warns(UserWarning, match="3 channels, the network 1 outputs"):
        report = initkit.apply(Field(SineLayer), "inr/winner", signal=skimage.data.astronaut()[::16, ::16])
    words = [row["remark"] for row in report.notes["inr/winner remarks"]]
    assert any("bytes are read as values in [0, 1]" in one for one in words)
    assert any("S0 = " in one and "scale=code" in one for one in words)


@pytest.mark.parametrize(
    ("signal", "words"),
    [
        (np.full(64, np.nan), "64 of its 64 values are NaN or infinite"),
        (np.array([1.0, np.inf, 0.0]), "1 of its 3 values"),
        (np.zeros(0), "empty"),
        (np.zeros((4, 4, 4, 1)), "takes 1 coordinates"),
        (np.zeros(1), "single sample"),
        (np.zeros(8, complex), "complex"),
        ("abc", "no array of numbers"),
        (None, "looks at the spectrum of 'signal'"),
    ],
)
def test_bad_signals(signal: Any, words: str) -> None:
    model = Field(SineLayer, axes=1)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    with pytest.raises(NeedError, match=words) as failure:
        initkit.apply(model, "inr/winner", **({} if signal is None else {"signal": signal}))
    assert "\n" not in str(failure.value)
    assert all(torch.equal(before[name], parameter) for name, parameter in model.named_parameters())


def test_networks_that_do_not_suit() -> None:
    with pytest.raises(PlanError, match="the noise goes to two sine layers; the model has 1"):
        initkit.plan(Field(SineLayer, axes=1, hidden=1), "inr/winner", signal=TONE)
    with pytest.raises(PlanError, match=r"net\.0\.linear is followed by gauss:30"):
        initkit.plan(Field(GaussLayer, axes=1), "inr/winner", signal=TONE)
    with pytest.raises(PlanError, match="no sine; force=true allows it"):
        initkit.plan(Field(FinerLayer, axes=1), "inr/winner", signal=TONE)
    initkit.plan(Field(FinerLayer, axes=1), initkit.recipe("inr/winner", force=True), signal=TONE)


def test_weights_that_hold_the_frequency() -> None:
    recipe = initkit.recipe("inr/winner", s0=60.0, s1=0.3)
    outer = initkit.plan(Field(SineLayer), recipe)["net.1.linear.weight"].draw.noise.std
    assert initkit.plan(Field(FoldedLayer), recipe)["net.1.linear.weight"].draw.noise.std == pytest.approx(30 * outer)


def write_wav(path: Path, samples: Any, width: int, channels: int = 1) -> None:
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(channels)
        sound.setsampwidth(width)
        sound.setframerate(8000)
        sound.writeframes(samples)


def test_sounds_are_loaded(tmp_path: Path) -> None:
    wanted = torch.tensor([[-1.0], [0.0], [0.5]])
    stored = {
        1: np.array([0, 128, 192], np.uint8).tobytes(),
        2: np.array([-(2**15), 0, 2**14], "<i2").tobytes(),
        3: b"\x00\x00\x80" + b"\x00\x00\x00" + b"\x00\x00\x40",
        4: np.array([-(2**31), 0, 2**30], "<i4").tobytes(),
    }
    for width, data in stored.items():
        write_wav(tmp_path / f"{width}.wav", data, width)
        assert torch.equal(load_signal(tmp_path / f"{width}.wav"), wanted)
    write_wav(tmp_path / "stereo.wav", np.zeros(8, "<i2").tobytes(), 2, channels=2)
    assert load_signal(tmp_path / "stereo.wav").shape == (4, 2)


def test_pictures_and_arrays_are_loaded(tmp_path: Path) -> None:
    gray = np.arange(12, dtype=np.uint8).reshape(3, 4)
    Image.fromarray(gray).save(tmp_path / "gray.png")
    assert torch.allclose(load_signal(tmp_path / "gray.png"), torch.from_numpy(gray / 255).float()[..., None])
    colour = np.stack([gray] * 3, -1)
    Image.fromarray(colour).save(tmp_path / "colour.png")
    assert load_signal(tmp_path / "colour.png").shape == (3, 4, 3)
    Image.fromarray(colour).convert("P").save(tmp_path / "palette.png")
    assert load_signal(tmp_path / "palette.png").shape == (3, 4, 3)
    Image.fromarray(gray.astype(np.uint16) * 1000).save(tmp_path / "deep.png")
    assert float(load_signal(tmp_path / "deep.png").max()) == pytest.approx(11000 / 65535)
    np.save(tmp_path / "a.npy", gray)
    assert torch.allclose(load_signal(tmp_path / "a.npy"), torch.from_numpy(gray / 255).float())
    np.savez(tmp_path / "a.npz", signal=np.ones(3))
    assert torch.equal(load_signal(tmp_path / "a.npz"), torch.ones(3, dtype=torch.float64))


def test_files_that_are_no_signals(tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_bytes(b"RIFF nothing")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "text.txt").write_text("1 2 3")
    np.savez(tmp_path / "two.npz", a=np.ones(3), b=np.ones(3))
    for name, words in {
        "broken.wav": "cannot read",
        "broken.png": "is no image",
        "text.txt": "a signal comes from",
        "two.npz": "holds a, b; a signal is one array",
        "missing.wav": "there is no file",
    }.items():
        with pytest.raises(NeedError, match=words) as failure:
            load_signal(tmp_path / name)
        assert "\n" not in str(failure.value)
