"""Models of full size for measuring memory: SDXL and Wan 2.1 1.3B, of the published width and in
half precision. Repeated layers are fewer, which has the same peak memory and a tenth of the time.

With CUDA they are real, with random weights. Without CUDA the network runs on torch's meta device,
where tensors have a size and no values, so that an evaluation takes a second and no memory, and
every activation can be counted (live_bytes.py). Attention counts as on a GPU: its output, not its
score matrix.
"""

import comfy.model_base
import comfy.model_patcher
import comfy.supported_models as supported
import live_bytes
import tiny_models
import torch

HALF = torch.float16
SDXL = dict(
    image_size=32,
    in_channels=4,
    out_channels=4,
    model_channels=320,
    num_res_blocks=[2, 2, 2],
    channel_mult=[1, 2, 4],
    transformer_depth=[0, 0, 1, 1, 1, 1],
    transformer_depth_middle=1,
    transformer_depth_output=[0, 0, 0, 1, 1, 1, 1, 1, 1],  # 2 and 10 as published
    num_head_channels=64,
    context_dim=2048,
    adm_in_channels=2816,
    num_classes="sequential",
    use_linear_in_transformer=True,
    use_spatial_transformer=True,
    legacy=False,
    use_temporal_resblock=False,
    use_temporal_attention=False,
    use_checkpoint=False,
    dtype=HALF,
)
WAN = dict(
    image_model="wan2.1",
    model_type="t2v",
    dim=1536,
    ffn_dim=8960,
    text_dim=4096,
    num_heads=12,
    num_layers=2,
    in_dim=16,
    out_dim=16,
    dtype=HALF,
)  # 30
TEXTS = {"sdxl": (77, SDXL["context_dim"]), "wan": (512, WAN["text_dim"])}
"""Tokens and their width."""


def plenty(*_, **__) -> float:
    """Replaces ComfyUI's ``get_free_memory``, by which ComfyUI may divide batches depending on the
    machine.
    """
    return 2.0**50


def text(family: str, seed: int) -> list:
    """A CONDITIONING of the right shape with random values."""
    generator = torch.Generator().manual_seed(seed)
    return [
        [
            torch.randn(1, *TEXTS[family], generator=generator),
            {"pooled_output": torch.randn(1, 1280, generator=generator)},
        ]
    ]


def _network(family: str, device: torch.device):
    if family == "sdxl":
        return comfy.model_base.SDXL(supported.SDXL(dict(SDXL)), device=device)
    return supported.WAN21_T2V(dict(WAN)).get_model({}, "", device=device)


class Shadow(torch.nn.Module):
    """Replaces a network: allocates the memory of a full-size one and returns an output of the
    right shape.
    """

    def __init__(self, small: torch.nn.Module, large: torch.nn.Module):
        super().__init__()
        self.small, self.large, self.dtype = small, [large], HALF  # in a list, so that ComfyUI does not load it

    def __getattr__(self, name: str):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("small"), name)

    def forward(self, x, timesteps, context=None, y=None, transformer_options=None, **rest):
        def shadow(tensor):
            return torch.empty_like(tensor, device="meta")

        extra = {} if y is None else {"y": shadow(y)}
        options = {**(transformer_options or {}), "optimized_attention_override": flash_attention}
        self.large[0](shadow(x), shadow(timesteps), context=shadow(context), transformer_options=options, **extra)
        return 0.05 * x + 0.01 * context.mean((1, 2)).to(x).view(-1, *(1,) * (x.ndim - 1))


def flash_attention(theirs, q, k, v, heads, *args, skip_reshape=False, skip_output_reshape=False, **settings):
    """The memory of attention: its output, besides queries, keys and values."""
    batch, tokens = q.shape[0], q.shape[-2]
    width = heads * v.shape[-1] if skip_reshape else v.shape[-1]
    shape = (batch, heads, tokens, width // heads) if skip_output_reshape else (batch, tokens, width)
    return torch.empty(shape, dtype=q.dtype, device=q.device)


def model(family: str):
    """A MODEL of "sdxl" or "wan"."""
    if live_bytes.on_cuda():
        made = _network(family, torch.device("cuda"))
        for parameter in made.diffusion_model.parameters():
            parameter.data.normal_(0, 0.02) if parameter.ndim > 1 else parameter.data.zero_()
        return comfy.model_patcher.ModelPatcher(
            made, load_device=torch.device("cuda"), offload_device=torch.device("cpu")
        )
    made = _network(family, torch.device("meta"))
    made.diffusion_model = Shadow(tiny_models.FAMILIES[family].make().model.diffusion_model, made.diffusion_model)
    return comfy.model_patcher.ModelPatcher(made, load_device=tiny_models.CPU, offload_device=tiny_models.CPU)
