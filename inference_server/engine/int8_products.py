"""Checks that a processor multiplies 8-bit integers exactly."""

import numpy as np
import onnxruntime as ort

from inference_server.engine.device import DeviceError


def check_int8_products(probe: ort.InferenceSession) -> None:
    """Refuse a processor whose products of 8-bit integers saturate.

    Processors without VNNI instructions add pairs of products in 16 bits, which large factors exceed:
    forecasts would be wrong without a sign of it.

    Parameters
    ----------
    probe
        `int8_probe.onnx`: `numbers` (R, K) uint8 around 128 times `weight` (K, N) int8 is `product` (R, N).

    Raises
    ------
    DeviceError
        The products of this processor are not exact.
    """
    (inner,) = probe.get_inputs()[0].shape[1:]
    numbers = np.full((4, inner), 255, np.uint8)
    product, weight = probe.run(["product", "weight"], {"numbers": numbers})
    exact = (numbers.astype(np.int64) - 128) @ weight.astype(np.int64)
    if not np.array_equal(product, exact):
        raise DeviceError(
            "this bundle is int8, and this processor's products of 8-bit integers are not exact: it has no "
            "VNNI instructions (avx512_vnni or avx_vnni in /proc/cpuinfo). Export with --precision fp32"
        )
