"""Replies of the stand-in for ComfyUI's server (fake_comfyui.py): node definitions, a picture, a
refused workflow, and frames of the websocket.
"""

import struct
import zlib

TYPES = {
    "CheckpointLoaderSimple": {"ckpt_name": [["semantic-edit-demo.safetensors", "other.safetensors"]]},
    "LoadImage": {"image": [["a.png"], {"image_upload": True}]},
    "SaveImage": {"images": ["IMAGE"], "filename_prefix": ["STRING", {"default": "ComfyUI"}]},
    "EmptyImage": {"width": ["INT", {"default": 512}], "height": ["INT", {"default": 512}]},
}
for plain in (
    "LoadImageMask",
    "SetLatentNoiseMask",
    "ImageScaleToTotalPixels",
    "CLIPTextEncode",
    "VAEEncode",
    "VAEDecode",
    "DiffEditMask",
    "DDIMInvert",
    "LatentBlendSampler",
    "EDICTInvert",
    "EDICTSampler",
    "BackgroundRestore",
    "CFGOverride",
    "MaskToImage",
    "KSampler",
    "SamplerCustom",
    "KSamplerSelect",
):
    TYPES.setdefault(plain, {})


def definition(kind: str) -> dict:
    return {"input": {"required": TYPES[kind]}, "input_order": {"required": list(TYPES[kind])}, "display_name": kind}


def grey_png(side: int, level: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + bytes([level if 4 * column >= side else 0 for column in range(side)]) for _ in range(side))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def refusal(graph: dict) -> dict:
    """The reply to a workflow whose first node has two invalid inputs."""
    return {
        "error": {
            "type": "prompt_outputs_failed_validation",
            "message": "Prompt outputs failed validation",
            "details": "",
        },
        "node_errors": {
            next(iter(graph)): {
                "class_type": "x",
                "dependent_outputs": [],
                "errors": [
                    {
                        "type": "value_bigger_than_max",
                        "message": "Value 20000 bigger than max of 10000",
                        "details": "steps",
                        "extra_info": {"input_name": "steps"},
                    },
                    {
                        "type": "value_not_in_list",
                        "message": "Value not in list",
                        "details": "sampler: 'x' not in ['a', 'b']",
                        "extra_info": {"input_name": "sampler"},
                    },
                ],
            }
        },
    }


def frame(opcode: int, payload: bytes, last: bool = True) -> bytes:
    size = len(payload)
    length = (
        bytes([size])
        if size < 126
        else struct.pack(">BH", 126, size)
        if size < 65536
        else struct.pack(">BQ", 127, size)
    )
    return bytes([(0x80 if last else 0) | opcode]) + length + payload
