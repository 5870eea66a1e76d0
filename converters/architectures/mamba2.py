"""The Mamba 2 mixer of hybrid models: modules, shapes and changes.

Source: ``Mamba2Model`` in conversion/mamba.py and src/models/mamba-base.cpp of llama.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping

from .architecture import Sizes
from .changes import Change
from .config_fields import ConfigFields

__all__ = [
    "MAMBA2_CHANGES",
    "MAMBA2_FLOAT32",
    "MAMBA2_MODULES",
    "MAMBA2_PARAMETERS",
    "MAMBA2_SIZE_KEYS",
    "mamba2_biased",
    "mamba2_hyper_parameters",
    "mamba2_shapes",
]

MAMBA2_MODULES = {
    "mamba.in_proj": "ssm_in",
    "mamba.conv1d": "ssm_conv1d",
    "mamba.norm": "ssm_norm",
    "mamba.out_proj": "ssm_out",
}
MAMBA2_PARAMETERS = {"mamba.dt_bias": "ssm_dt.bias", "mamba.A_log": "ssm_a", "mamba.D": "ssm_d"}
MAMBA2_CHANGES = {
    "mamba.conv1d": Change(squeezed=True),
    "mamba.norm": Change(groups="ssm_groups"),
    "mamba.A_log": Change(negative_exp=True, as_column=True),
    "mamba.D": Change(as_column=True),
}
MAMBA2_SIZE_KEYS = {
    "ssm_inner": "ssm.inner_size",
    "ssm_state": "ssm.state_size",
    "ssm_groups": "ssm.group_count",
    "ssm_heads": "ssm.time_step_rank",
}
"""The sizes of the mixer in GGUF."""

MAMBA2_FLOAT32 = frozenset({"mamba.conv1d", "mamba.norm", "mamba.A_log", "mamba.D"})


def mamba2_shapes(sizes: Sizes) -> Mapping[str, tuple[int, ...]]:
    """Shapes for the sizes ssm_inner, ssm_state, ssm_groups, ssm_heads and kernel."""
    hidden, inner, heads = sizes["hidden"], sizes["ssm_inner"], sizes["ssm_heads"]
    n_conv = inner + 2 * sizes["ssm_groups"] * sizes["ssm_state"]
    return {
        "mamba.in_proj": (inner + n_conv + heads, hidden),
        "mamba.conv1d": (n_conv, 1, sizes["kernel"]),
        "mamba.norm": (inner,),
        "mamba.out_proj": (hidden, inner),
        **dict.fromkeys(MAMBA2_PARAMETERS, (heads,)),
    }


def mamba2_hyper_parameters(sizes: Sizes) -> dict[str, int]:
    """The sizes of the mixer by GGUF key."""
    return {
        "ssm.conv_kernel": sizes["kernel"],
        "ssm.state_size": sizes["ssm_state"],
        "ssm.group_count": sizes["ssm_groups"],
        "ssm.inner_size": sizes["ssm_inner"],
        "ssm.time_step_rank": sizes["ssm_heads"],
    }


def mamba2_biased(fields: ConfigFields) -> frozenset[str]:
    """The modules of the mixer that have a bias."""
    if fields.get("mamba_proj_bias"):
        raise fields.error("mamba_proj_bias is not supported")
    if fields.get("mamba_conv_bias", True) is not True:
        raise fields.error("mamba_conv_bias is not true; llama.cpp's graph always adds the bias")
    return frozenset({"mamba.conv1d"})
