"""CLIPRank: sort predictions by their similarity to a text."""

from comfy_api.latest import io

from .core.pictures.ranking import REGIONS
from .edits.judging import ranking
from .host import clip_pair, previews, versions
from .outcome import Outcome
from .sockets import ClipRankModelType


class CLIPRank(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CLIPRank",
            display_name="CLIP Rank",
            category="semantic edit",
            description="Sorts a batch of edits by the CLIP similarity between the edited part and a text "
            "(Blended Latent Diffusion) and outputs the best ones. Latents, masks, seeds and scores "
            "are sorted in the same order.",
            search_aliases=[
                "semantic edit",
                "best of n",
                "rank images",
                "clip score",
                "pick best",
                "sort batch",
                "select image",
                "clip ranking",
                "choose best edit",
                "compare edits",
                "sort edits",
            ],
            **versions.SHOWS_ITS_RESULT,
            inputs=[
                io.Image.Input(
                    "images",
                    tooltip="Edited images. With several sources: all edits of the first source, then all of the "
                    "second, as output by Latent Blend Sampler.",
                ),
                io.String.Input(
                    "text",
                    multiline=True,
                    default="",
                    tooltip='Text that describes the edited part, e.g. "a bowl of oranges". With several sources: one '
                    "text for all, or one line per source.",
                ),
                io.Combo.Input(
                    "region",
                    options=list(REGIONS),
                    default="masked",
                    tooltip="Part of the image that is compared with the text. masked: the whole frame, black outside "
                    "the mask, as in the paper. crop: a square around the mask, which shows small edits "
                    "larger. whole: the whole image; no mask needed.",
                ),
                io.Float.Input(
                    "background",
                    default=0.0,
                    min=0.0,
                    max=10.0,
                    step=0.05,
                    round=0.001,
                    tooltip="Weight of the background fidelity (1 minus the root mean square difference from the "
                    "source outside the mask) in the score. 0: similarity only, as in the paper. Useful "
                    "values are 0.5 to 2. Needs source and mask.",
                ),
                io.Int.Input(
                    "per_source",
                    default=0,
                    min=0,
                    max=4096,
                    tooltip="Number of edits per source image; each source is ranked separately. 0: all edits belong "
                    "to one source.",
                ),
                io.Int.Input(
                    "keep",
                    default=0,
                    min=0,
                    max=4096,
                    tooltip="Number of edits per source to output, best first. 0: all.",
                ),
                io.Int.Input(
                    "pick",
                    default=0,
                    min=0,
                    max=4095,
                    tooltip="Rank of the edit at output best: 0 is the best, 1 the second. Changing it does not run "
                    "the model again.",
                ),
                io.Int.Input(
                    "first_seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    advanced=True,
                    tooltip="Seed of the sampler. The edit with index k in the batch gets first_seed + k at output "
                    "seeds.",
                ),
                io.Float.Input(
                    "margin",
                    default=0.15,
                    min=0.0,
                    max=2.0,
                    step=0.05,
                    advanced=True,
                    tooltip="For region crop: margin around the bounding box of the mask, as a fraction of its longer "
                    "side.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Mask of the edit. Any size; one for all, one per source, or one per edit.",
                ),
                io.Image.Input(
                    "source",
                    optional=True,
                    tooltip="Source image, for background. One for all, one per source, or one per edit.",
                ),
                io.Latent.Input("latent", optional=True, tooltip="Latents of the edits, sorted in the same order."),
                ClipRankModelType.Input(
                    "clip_rank_model",
                    optional=True,
                    tooltip="From Load CLIP Rank Model. Alternatively, connect clip and clip_vision.",
                ),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    tooltip="CLIP text model with a text projection (CLIPLoader, e.g. clip_l.safetensors), trained "
                    "together with clip_vision. The CLIP of an SD1.5 checkpoint has none and is refused.",
                ),
                io.ClipVision.Input(
                    "clip_vision",
                    optional=True,
                    tooltip="CLIP vision model trained together with clip, e.g. ViT-L/14 for clip_l, CLIP-ViT-H for "
                    "SD2, bigG for SDXL.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "ranked", display_name="images", tooltip="Edits that were kept, best first, grouped by source."
                ),
                io.Image.Output("best", display_name="best", tooltip="Picked edit of each source."),
                io.Latent.Output(
                    "ranked_latent",
                    display_name="latent",
                    tooltip="Latents of images, in the same order. Needs latent.",
                ),
                io.Float.Output("scores", display_name="scores", is_output_list=True, tooltip="Scores of images."),
                io.Int.Output(
                    "order",
                    display_name="order",
                    is_output_list=True,
                    tooltip="Index of each of the images in the input batch, from 0.",
                ),
                io.Mask.Output("masks", display_name="masks", tooltip="Masks of images. Needs mask."),
                io.Int.Output(
                    "seeds",
                    display_name="seeds",
                    is_output_list=True,
                    tooltip="Seeds of images: first_seed plus the index in the input batch.",
                ),
                io.Latent.Output("best_latent", display_name="best_latent", tooltip="Latent of best. Needs latent."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        images,
        text,
        region,
        background,
        per_source,
        keep,
        pick,
        first_seed=0,
        margin=0.15,
        mask=None,
        source=None,
        latent=None,
        clip_rank_model=None,
        clip=None,
        clip_vision=None,
    ) -> Outcome:
        predictions = ranking.read_predictions(images, mask, source, region, background, per_source, text, pick, keep)
        latent = ranking.latent_of_predictions(latent, images.shape[0])
        scorer = clip_pair.choose(clip, clip_vision, clip_rank_model)
        ranked = ranking.rank(scorer, predictions, text, region, background, margin)
        given = ranking.collect(images, latent, predictions, ranked, keep, pick, first_seed)
        report = ranking.describe_ranking(predictions, ranked, pick, first_seed)
        values = (
            given.images,
            given.best,
            given.latent,
            given.scores,
            given.order,
            given.masks,
            given.seeds,
            given.best_latent,
        )
        return Outcome(
            values,
            report,
            lambda node: previews.pictures(node, lambda: ranking.previews(predictions, ranked), most=None),
        )
