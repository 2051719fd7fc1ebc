"""The colours of heat maps: inferno, clear where a map is low."""

import numpy as np
from numpy.typing import NDArray

# inferno, every 8th of its 256 colours: its lightness only rises, so colour vision is not needed
INFERNO = bytes.fromhex(
    "000004 040312 0b0724 150b37 210c4a 2f0a5b 3d0965 4a0c6b 57106e 64156e 71196e 7d1e6d "
    "8a226a 972766 a32c61 b0315b bc3754 c63d4d d04545 da4e3c e35933 eb6429 f1711f f67e14 "
    "f98c0a fb9b06 fcaa0f fbba1f f9c932 f5d949 f2e865 f3f586 fcffa4"
)
HEAT_SHARE = 0.62  # of the overlay, at most; the rest is the image in grey
ANCHOR = 0.5  # of the scale: the limit above which a region is drawn; colours cover from there on
CLEAR = 0.4  # of that limit: up to there nothing is coloured


def inferno_colours(share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inferno colours 0..255 (H, W, 3) for shares (H, W), clipped to 0..1."""
    stops = np.frombuffer(INFERNO, np.uint8).reshape(-1, 3)
    at = np.linspace(0, 1, len(stops))
    return np.stack([np.interp(share, at, stops[:, channel]) for channel in range(3)], axis=2)


def coverage(share: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much of the colours is seen, 0..1, where a map has this share of the scale.

    >>> coverage(np.array([0.0, 0.2, 0.35, 0.5, 1.0])).round(2).tolist()
    [0.0, 0.0, 0.25, 1.0, 1.0]
    """
    return ((share / ANCHOR - CLEAR) / (1 - CLEAR)).clip(0, 1) ** 2


def mixed_colours(
    colours: NDArray[np.float64], share: NDArray[np.float64], grey: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Colours (H, W, 3) of shares (H, W) over a grey image (H, W, 1), all in 0..255."""
    seen = HEAT_SHARE * coverage(share)[..., None]
    return seen * colours + (1 - seen) * grey
