"""CLIPRank: order predictions by how well they match a text."""

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
            description="Orders a batch of edits by how well CLIP says that the edited part fits a text (Blended "
            "Latent Diffusion), keeps the best, and gives the one you pick. Latents, masks, seeds and "
            "scores follow in the same order.",
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
                    tooltip="The predictions, decoded. With several sources: all of the first source, then all of the "
                    "second, as LatentBlendSampler gives them.",
                ),
                io.String.Input(
                    "text",
                    multiline=True,
                    default="",
                    tooltip='What the edited part should show, e.g. "a bowl of oranges". With several sources: one '
                    "text for all, or as many lines as sources.",
                ),
                io.Combo.Input(
                    "region",
                    options=list(REGIONS),
                    default="masked",
                    tooltip="masked: the whole frame, black outside the mask, as in the paper. crop: a square around "
                    "the mask, which shows small edits larger. whole: the picture; needs no mask.",
                ),
                io.Float.Input(
                    "background",
                    default=0.0,
                    min=0.0,
                    max=10.0,
                    step=0.05,
                    round=0.001,
                    tooltip="Adds this much of the fidelity to the source outside the mask (1 minus the root mean "
                    "square difference) to the score. 0 is the paper. Needs source and mask.",
                ),
                io.Int.Input(
                    "per_source",
                    default=0,
                    min=0,
                    max=4096,
                    tooltip="How many predictions belong to one source picture; each source is ranked by itself. 0: "
                    "all are of one.",
                ),
                io.Int.Input(
                    "keep",
                    default=0,
                    min=0,
                    max=4096,
                    tooltip="How many of each source to give, the best first. 0: all.",
                ),
                io.Int.Input(
                    "pick",
                    default=0,
                    min=0,
                    max=4095,
                    tooltip="Which one to give as best: 0 is the top-ranked, 1 the next. Turning it does not call the "
                    "model again.",
                ),
                io.Int.Input(
                    "first_seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    advanced=True,
                    tooltip="The sampler's seed, so that seeds can tell every prediction's: number k of the batch has "
                    "first_seed + k.",
                ),
                io.Float.Input(
                    "margin",
                    default=0.15,
                    min=0.0,
                    max=2.0,
                    step=0.05,
                    advanced=True,
                    tooltip="For region crop: how much to show around the mask's box, as a share of its longer side.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Where the edit was made. Any size; one for all, one per source, or one per prediction.",
                ),
                io.Image.Input(
                    "source",
                    optional=True,
                    tooltip="The picture before the edit, for background. One for all, one per source, or one per "
                    "prediction.",
                ),
                io.Latent.Input("latent", optional=True, tooltip="The predictions' latents, to be ordered along."),
                ClipRankModelType.Input(
                    "clip_rank_model",
                    optional=True,
                    tooltip="From CLIPRankModelLoader. Or connect clip and clip_vision.",
                ),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    tooltip="A CLIP with its text projection (CLIPLoader, e.g. clip_l.safetensors), of the same "
                    "training as clip_vision. That of an SD1.5 checkpoint has none and is refused.",
                ),
                io.ClipVision.Input(
                    "clip_vision",
                    optional=True,
                    tooltip="The picture half of the same CLIP, e.g. ViT-L/14 for clip_l, CLIP-ViT-H for SD2's, bigG "
                    "for SDXL's.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "ranked",
                    display_name="images",
                    tooltip="The predictions kept, the best first; one source after the other.",
                ),
                io.Image.Output("best", display_name="best", tooltip="The picked prediction of each source."),
                io.Latent.Output(
                    "ranked_latent",
                    display_name="latent",
                    tooltip="The latents of images, in the same order. Needs latent.",
                ),
                io.Float.Output(
                    "scores", display_name="scores", is_output_list=True, tooltip="The score of each of images."
                ),
                io.Int.Output(
                    "order",
                    display_name="order",
                    is_output_list=True,
                    tooltip="The number that each of images had in the batch that came in, from 0.",
                ),
                io.Mask.Output("masks", display_name="masks", tooltip="The mask of each of images. Needs mask."),
                io.Int.Output(
                    "seeds",
                    display_name="seeds",
                    is_output_list=True,
                    tooltip="The seed of each of images: first_seed plus its number.",
                ),
                io.Latent.Output(
                    "best_latent", display_name="best_latent", tooltip="The latent of best. Needs latent."
                ),
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
