"""HDR pictures (PQ and HLG) as sRGB.

The curve is that of ITU-R BT.2390 (its EETF): light up to a knee stays as it is, and only what is above is bent under the
screen's white. So faces and skies look as in the SDR version of the same film, without a grey wash, which curves that
bend everything (Hable, Reinhard) give. Its target is reference white, 203 cd/m2 (BT.2408); its source peak is the
picture's own brightest light, so that a picture without highlights is not bent at all, and at most three times reference
white: what is still brighter keeps its hue alone, for a thumbnail beside SDR ones must not be dark for a sun's sake.
"""

from typing import Final, Literal, cast

import numpy as np
from numpy.typing import NDArray

from processors.colour.linear_light import Codes, Light, Matrix, into_gamut, to_codes

Transfer = Literal["pq", "hlg"]

REFERENCE_WHITE_NITS: Final = 203.0
_HLG_PEAK_NITS: Final = 1000.0
_PQ_PEAK_NITS: Final = 10_000.0
_LUMA_2020: Final = np.array([0.2627, 0.6780, 0.0593], np.float32)
_PEAK_PERCENTILE: Final = 99.9
"""Few glints do not darken a whole picture."""
_MAX_PEAK: Final = 3.0
_CURVE_STEPS: Final = 4096


def tone_map(coded: NDArray[np.uint16], transfer: Transfer, matrix: Matrix) -> Codes:
    """sRGB, of a picture of height x width x 3 in full-range 16 bits; `matrix` turns its gamut into sRGB's."""
    return tone_map_light(pq_light(coded) if transfer == "pq" else _hlg_light(coded), matrix)


def pq_light(coded: NDArray[np.uint16]) -> Light:
    """Return the light of full-range 16 bits of PQ, 1.0 for reference white."""
    return _PQ_LIGHT[coded]


def tone_map_light(light: Light, matrix: Matrix) -> Codes:
    """Do the work of tone_map() on light itself, with 1.0 for reference white."""
    light = into_gamut(light, matrix)
    # The strongest channel is bent and the others follow: hues stay, and nothing is clipped.
    top = np.maximum(np.maximum(light[..., 0], light[..., 1]), light[..., 2])
    peak = min(float(np.percentile(top[::2, ::2], _PEAK_PERCENTILE)), _MAX_PEAK)
    if peak > 1.0:
        steps = np.sqrt(np.minimum(top / np.float32(peak), 1)) * np.float32(_CURVE_STEPS - 1)
        light *= _gains(peak)[steps.astype(np.uint16)][..., None]
        light /= np.maximum(top / np.float32(peak), 1)[..., None]
    elif top.max() > 1:
        light /= np.maximum(top, 1)[..., None]
    return to_codes(light)


def luma_as_sdr(transfer: Transfer, *, is_full_range: bool) -> Codes:
    """Return a table from eight bits of HDR luma to about the sRGB code that it is shown as, for judging frames."""
    codes = np.arange(256)
    shares = codes / 255 if is_full_range else np.clip((codes - 16) / 219, 0, 1)
    coded = np.rint(shares * 65535).astype(np.uint16)
    light = _PQ_LIGHT[coded] if transfer == "pq" else _HLG_SCENE[coded] ** 1.2 * (_HLG_PEAK_NITS / REFERENCE_WHITE_NITS)
    return to_codes(light.astype(np.float32))


def _gains(peak: float) -> Light:
    """Return what the light of each step is multiplied by; steps are square roots of shares of `peak`."""
    light = np.linspace(0, 1, _CURVE_STEPS) ** 2 * peak
    whole = _pq(np.array([peak]))[0]
    white = _pq(np.array([1.0]))[0] / whole
    coded = _pq(light) / whole
    knee = max(0.0, 1.5 * white - 0.5)
    t = np.clip((coded - knee) / (1 - knee), 0, 1)
    bent = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * white
    shown = np.where(coded < knee, light, _pq_light(bent * whole))
    gains = np.divide(shown, light, out=np.ones_like(light), where=light > 0)
    return gains.astype(np.float32)


def _hlg_light(coded: NDArray[np.uint16]) -> Light:
    """By BT.2100's OOTF for a screen of 1000 cd/m2."""
    scene = _HLG_SCENE[coded]
    gain = np.maximum(scene @ _LUMA_2020, 1e-6) ** np.float32(0.2)
    return cast(Light, scene * (gain * np.float32(_HLG_PEAK_NITS / REFERENCE_WHITE_NITS))[..., None])


# SMPTE ST 2084, in units of reference white.
_M1, _M2, _C1, _C2, _C3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128


def _pq(light: NDArray[np.float64]) -> NDArray[np.float64]:
    power = np.clip(light * REFERENCE_WHITE_NITS / _PQ_PEAK_NITS, 0, 1) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2


def _pq_light(coded: NDArray[np.float64]) -> NDArray[np.float64]:
    power = np.clip(coded, 0, 1) ** (1 / _M2)
    share = (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1)
    return share * _PQ_PEAK_NITS / REFERENCE_WHITE_NITS


def _hlg_scene(coded: NDArray[np.float64]) -> NDArray[np.float64]:
    """ARIB STD-B67's inverse OETF: scene light from 0 to 1."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(coded <= 0.5, coded**2 / 3, (np.exp((coded - c) / a) + b) / 12)


_SHARES: Final = np.arange(65536) / 65535
_PQ_LIGHT: Final = _pq_light(_SHARES).astype(np.float32)
_HLG_SCENE: Final = _hlg_scene(_SHARES).astype(np.float32)
