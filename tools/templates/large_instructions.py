"""Templates of edits by instruction on FLUX.1 Kontext, Qwen-Image-Edit and FLUX.2 Klein, with the
files of ComfyUI's own templates of these models (comfyui-workflow-templates).
"""

from .graph import Column, Node, Workflow
from .instructions import LOOK, SOURCE, STEPS, TURN, VAE, editing, masking, result
from .parts import ABOUT, note

HUB = "https://huggingface.co"


def loader(kind: str, folder: str, url: str, name: str, input_name: str, **widgets) -> Node:
    """A loader of one file, with the link that the editor offers if the file is missing."""
    return Node(kind, {input_name: name, **widgets}, models=((name, f"{HUB}/{url}/{name}", folder),))


def large(
    key: str,
    name: str,
    example: dict,
    models: dict[str, Node],
    size: Node,
    conditioning: dict[str, Node],
    ends: tuple[str, str],
    remark: str,
    edit: dict,
    links: dict | None = None,
) -> Workflow:
    """A template of a model with reference latents.

    Args:
        models: loaders and model patches, "Model" last.
        conditioning: from "Instruction text" to ``ends``, the positive and negative conditioning.
        edit: widgets of the sampler.
        links: additional inputs of the sampler.
    """
    positive, negative = ends
    prompt = next(name for name in ("text", "prompt") if name in conditioning["Instruction text"].widgets)
    return Workflow(
        key,
        f"Edit by instruction ({name})",
        "Edits by one instruction; everything else stays unchanged.",
        {
            ABOUT: note(
                f"## Edit by instruction with {name}, keep the rest",
                "Write an instruction. The model edits inside a mask; outside the mask the pixels of the result "
                "equal those of the image from *Size*.",
                STEPS,
                TURN,
                remark,
                SOURCE,
            ),
            "Image": Node("LoadImage", {"image": f"semantic-edit-{example['picture']}.png"}),
            "Size": size,
            "Encode": Node("VAEEncode", links={"pixels": "Size.IMAGE", **VAE}, folded=True),
            **models,
            **conditioning,
            "Mask": masking(positive, "Size.IMAGE", "Encode.LATENT"),
            "Edit": editing(positive, negative, "Encode.LATENT", "Mask.mask", {**VAE, **(links or {})}, **edit),
            **result(key, "Size.IMAGE", "Edit.latent", "Mask.mask"),
        },
        (
            Column(330, (("", (ABOUT,)), ("1 Write the instruction", tuple(conditioning)))),
            Column(290, (("2 Load", ("Image", "Size", "Encode", *models)),)),
            Column(330, (("3 Compute the mask", ("Mask",)),)),
            Column(330, (("4 Edit inside the mask", ("Edit", "Decode")),)),
            LOOK,
        ),
        ("Image.image", f"Instruction text.{prompt}", "Mask.threshold", "Edit.seed"),
        ("Edited picture",),
    )


def megapixel() -> Node:
    widgets = {"upscale_method": "lanczos", "megapixels": 1.0, "resolution_steps": 16}
    return Node("ImageScaleToTotalPixels", widgets, {"image": "Image.IMAGE"}, folded=True)


def instruction(example: dict, clip: str) -> Node:
    return Node("CLIPTextEncode", {"text": example["instruction"]}, {"clip": clip})


def referenced(text: str) -> Node:
    return Node("ReferenceLatent", {}, {"conditioning": text, "latent": "Encode.LATENT"}, folded=True)


def kontext(example: dict) -> Workflow:
    names = "clip_l.safetensors", "t5xxl_fp8_e4m3fn_scaled.safetensors"
    encoders = f"{HUB}/comfyanonymous/flux_text_encoders/resolve/main"
    return large(
        "instruct_kontext",
        "FLUX.1 Kontext",
        example,
        {
            "Text encoders": Node(
                "DualCLIPLoader",
                {"clip_name1": names[0], "clip_name2": names[1], "type": "flux"},
                models=tuple((name, f"{encoders}/{name}", "text_encoders") for name in names),
            ),
            "VAE": loader(
                "VAELoader",
                "vae",
                "Comfy-Org/Lumina_Image_2.0_Repackaged/resolve/main/split_files/vae",
                "ae.safetensors",
                "vae_name",
            ),
            "Model": loader(
                "UNETLoader",
                "diffusion_models",
                "Comfy-Org/flux1-kontext-dev_ComfyUI/resolve/main/split_files/diffusion_models",
                "flux1-dev-kontext_fp8_scaled.safetensors",
                "unet_name",
            ),
        },
        Node("FluxKontextImageScale", {}, {"image": "Image.IMAGE"}, folded=True),
        {
            "Instruction text": instruction(example, "Text encoders.CLIP"),
            "With the picture": referenced("Instruction text.CONDITIONING"),
            "Guidance": Node("FluxGuidance", {"guidance": 2.5}, {"conditioning": "With the picture.CONDITIONING"}),
            "Nothing": Node("ConditioningZeroOut", {}, {"conditioning": "With the picture.CONDITIONING"}, folded=True),
        },
        ("Guidance.CONDITIONING", "Nothing.CONDITIONING"),
        "*Size* scales the image to one of the sizes for which the model was trained.",
        {"steps": 20, "cfg": 1.0, "scheduler": "simple"},
    )


def qwen(example: dict) -> Workflow:
    def encoding(words: str, folded: bool = False) -> Node:
        links = {"clip": "Text encoder.CLIP", "image1": "Size.IMAGE"}
        return Node("TextEncodeQwenImageEditPlus", {"prompt": words}, links, folded)

    repository = "Comfy-Org/Qwen-Image_ComfyUI/resolve/main/split_files"
    return large(
        "instruct_qwen",
        "Qwen-Image-Edit",
        example,
        {
            "Text encoder": loader(
                "CLIPLoader",
                "text_encoders",
                f"{repository}/text_encoders",
                "qwen_2.5_vl_7b_fp8_scaled.safetensors",
                "clip_name",
                type="qwen_image",
            ),
            "VAE": loader("VAELoader", "vae", f"{repository}/vae", "qwen_image_vae.safetensors", "vae_name"),
            "File": loader(
                "UNETLoader",
                "diffusion_models",
                "Comfy-Org/Qwen-Image-Edit_ComfyUI/resolve/main/split_files/diffusion_models",
                "qwen_image_edit_2511_fp8mixed.safetensors",
                "unet_name",
            ),
            "Norm": Node("CFGNorm", {}, {"model": "File.MODEL"}, folded=True),
            "Model": Node("ModelSamplingAuraFlow", {"shift": 3.1}, {"model": "Norm.patched_model"}, folded=True),
        },
        megapixel(),
        {
            "Instruction text": encoding(example["instruction"]),
            "With the picture": referenced("Instruction text.CONDITIONING"),
            "Empty text": encoding("", folded=True),
            "Empty, with the picture": referenced("Empty text.CONDITIONING"),
        },
        ("With the picture.CONDITIONING", "Empty, with the picture.CONDITIONING"),
        "The text encoders have no *vae*: with one they would scale the image again before encoding it, and the "
        "model would receive another image than the edited one. *ReferenceLatent* passes the edited latent itself.",
        {"steps": 20, "cfg": 4.0, "scheduler": "simple"},
    )


def klein(example: dict) -> Workflow:
    return large(
        "instruct_klein",
        "FLUX.2 Klein",
        example,
        {
            "Text encoder": loader(
                "CLIPLoader",
                "text_encoders",
                "Comfy-Org/z_image_turbo/resolve/main/split_files/text_encoders",
                "qwen_3_4b.safetensors",
                "clip_name",
                type="flux2",
            ),
            "VAE": loader(
                "VAELoader",
                "vae",
                "Comfy-Org/flux2-dev/resolve/main/split_files/vae",
                "flux2-vae.safetensors",
                "vae_name",
            ),
            "Model": loader(
                "UNETLoader",
                "diffusion_models",
                "black-forest-labs/FLUX.2-klein-4b-fp8/resolve/main",
                "flux-2-klein-4b-fp8.safetensors",
                "unet_name",
            ),
            "Sides": Node("GetImageSize", {}, {"image": "Size.IMAGE"}, folded=True),
            "Levels": Node(
                "Flux2Scheduler", {"steps": 4}, {"width": "Sides.width", "height": "Sides.height"}, folded=True
            ),
        },
        megapixel(),
        {
            "Instruction text": instruction(example, "Text encoder.CLIP"),
            "With the picture": referenced("Instruction text.CONDITIONING"),
            "Nothing": Node("ConditioningZeroOut", {}, {"conditioning": "With the picture.CONDITIONING"}, folded=True),
        },
        ("With the picture.CONDITIONING", "Nothing.CONDITIONING"),
        "The distilled model needs 4 steps (*Levels*) at cfg 1; the base model (flux-2-klein-base-4b) needs 20 at "
        "cfg 5.",
        {"steps": 4, "cfg": 1.0},
        {"sigmas": "Levels.SIGMAS"},
    )
