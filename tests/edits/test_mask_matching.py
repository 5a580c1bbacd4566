"""Masks are matched to the right cells, pictures and frames in every node with a mask."""

import calls
import pytest
import tiny_models
import tiny_vaes
import torch

MASKED = [name for name, call in calls.CALLS.items() if call.takes_mask]
EVERY = [*MASKED, "ProgressiveMaskShrink"]


def cells_changed(node, edited, source):
    """The cells that a node's result changes because of its mask: [items, ..., h, w]."""
    return edited[:, 0] > 0 if node == "ProgressiveMaskShrink" else (edited != source).any(1)


@pytest.mark.parametrize("family, ratio", [("sd15", 8), ("flux2", 16)])
@pytest.mark.parametrize("node", EVERY)
def test_a_column_of_the_picture_lands_where_encoding_put_it(run, node, family, ratio):
    """The picture is almost a cell larger than its latent; encoding crops half of the excess at
    each side.
    """
    world, call = calls.World(lambda *a, **k: run(*a, **k).args, family, size=(8, 8)), calls.CALLS[node]
    rest = ratio - 1
    for x in (rest // 2 + ratio - 1, rest // 2 + ratio, rest // 2 + 8 * ratio - 1):
        mask = torch.zeros(1, 8 * ratio + rest, 8 * ratio + rest)
        mask[..., x] = 1
        result = cells_changed(node, call.result(call.run(world, mask=mask)), world.latent["samples"])[0]
        assert result.any(0).nonzero().flatten().tolist() == [(x - rest // 2) // ratio]


@pytest.mark.parametrize("count, masks", [(1, 9), (1, 11), (2, 9), (2, 18)])
@pytest.mark.parametrize("node", EVERY)
def test_frames_of_a_video_that_share_a_latent_frame_are_joined(run, node, count, masks):
    """Equal to the joined masks, one per latent frame; frames that encoding drops do not count."""
    world, call = calls.World(lambda *a, **k: run(*a, **k).args, "wan", count=count, frames=3), calls.CALLS[node]
    mask = (torch.rand(masks, 8, 8, generator=torch.Generator().manual_seed(4)) > 0.8).float()
    videos = mask[: 9 * (masks // 9)].reshape(-1, 9, 8, 8)
    joined = torch.stack([videos[:, 0], videos[:, 1:5].amax(1), videos[:, 5:].amax(1)], 1)
    result = cells_changed(node, call.result(call.run(world, mask=mask)), world.latent["samples"])
    assert torch.equal(result, (joined > 0).expand(count, 3, 8, 8))


@pytest.mark.parametrize("count, taken", [(1, "1, 3 or 9"), (2, "1, 2, 3, 6, 9 or 18")])
@pytest.mark.parametrize("node", EVERY)
def test_refusals_name_all_numbers_of_masks_that_would_be_taken(run, node, count, taken):
    world = calls.World(lambda *a, **k: run(*a, **k).args, "wan", count=count, frames=3)
    with pytest.raises(
        ValueError, match=f"{node}: got 4 masks for {count} latents of 3 latent frames .9 frames.; give {taken}\\."
    ):
        calls.CALLS[node].run(world, mask=torch.ones(4, 8, 8))


# ---- nodes of pictures ----


@pytest.fixture(scope="module")
def video():
    """A Wan latent of 3 frames, its 9 frames, another 9, and equivalent masks for each latent frame
    and for each frame.
    """
    vae, generator = tiny_vaes.wan(), torch.Generator().manual_seed(7)
    frames = torch.rand(9, 32, 32, 3, generator=generator)
    with torch.inference_mode():
        latent = {"samples": vae.encode(frames)}
    masks = torch.zeros(3, 32, 32)
    masks[0, :8], masks[1, 8:16], masks[2, 16:] = 1, 1, 1
    assert latent["samples"].shape[2] == 3
    return dict(
        vae=vae,
        frames=frames,
        latent=latent,
        edited=(frames * 0.5),
        masks=masks,
        each=masks[[0, 1, 1, 1, 1, 2, 2, 2, 2]],
    )


def of_video(run, video, node, mask):
    ranker = run("CLIPRankModelLoader", folder="semantic-edit-demo").args[0] if node == "CLIPRank" else None
    return run(
        node.split(" ")[0],
        **{
            "DecoderFinetune": lambda: dict(
                vae=video["vae"],
                image=video["frames"],
                latent=video["latent"],
                mask=mask,
                steps=10,
                scope="last blocks",
            ),
            "BackgroundRestore": lambda: dict(
                image=video["frames"], edited=video["edited"], mask=mask, method="stitch"
            ),
            "BackgroundRestore of a latent": lambda: dict(
                vae=video["vae"], image=video["frames"], latent=video["latent"], mask=mask, method="stitch"
            ),
            "EditMetrics": lambda: dict(source=video["frames"], edited=video["edited"], mask=mask, lpips="none"),
            "CLIPRank": lambda: dict(images=video["edited"], mask=mask, text="a red circle", clip_rank_model=ranker),
        }[node](),
    ).args


PICTURED = ["DecoderFinetune", "BackgroundRestore", "BackgroundRestore of a latent", "EditMetrics", "CLIPRank"]


@pytest.mark.parametrize("node", PICTURED)
def test_a_mask_for_each_latent_frame_serves_its_pictures(run, video, node):
    result, wanted = (of_video(run, video, node, video[name]) for name in ("masks", "each"))
    for one, other in zip(result, wanted):
        if isinstance(one, torch.Tensor):
            assert torch.equal(one, other)
        elif isinstance(one, (float, str, list)):
            assert str(one) == str(other)


@pytest.mark.parametrize("node", PICTURED)
def test_refusals_of_pictures_name_all_numbers_of_masks_that_would_be_taken(run, video, node):
    """The numbers of latent frames are those of this VAE, or without a VAE those of all VAEs of
    videos.
    """
    has_vae = node in ("DecoderFinetune", "BackgroundRestore of a latent")
    words = "give 1, 3 or 9\\." if has_vae else "give 1, 2, 3 or 9 .2 or 3: one for each latent frame of a video."
    with pytest.raises(ValueError, match=f"{node.split(' ')[0]}: got 5 masks for .*{words}"):
        of_video(run, video, node, video["each"][:5])


def test_masks_of_latent_frames_are_for_videos_only(run):
    """One source with nine edits is not a video."""
    with pytest.raises(ValueError, match="got 3 masks for 9 images; give 1 or 9\\."):
        run(
            "EditMetrics",
            source=torch.rand(1, 32, 32, 3),
            edited=torch.rand(9, 32, 32, 3),
            mask=torch.ones(3, 32, 32),
            lpips="none",
        )


def test_sources_with_the_frames_that_encoding_drops(run, video):
    image = torch.cat([video["frames"], video["frames"][:2]])
    result = run(
        "BackgroundRestore", vae=video["vae"], image=image, latent=video["latent"], mask=video["masks"], method="stitch"
    )
    assert torch.equal(result.args[0], of_video(run, video, "BackgroundRestore of a latent", video["masks"])[0])


@pytest.mark.parametrize("mask_size, size", [((45, 37), (40, 32)), ((40, 32), (45, 37))])
def test_metrics_and_ranks_crop_or_place_a_mask_as_encoding_does(run, pack_module, mask_size, size):
    mask, kept = torch.zeros(1, *mask_size), torch.zeros(1, *size)
    mask[:, 4:9, 3:9] = 1
    if mask_size > size:
        kept[:, 2:7, 1:7] = 1
    else:
        kept[:, 6:11, 5:11] = 1
    source, edited = (torch.rand(2, *size, 3, generator=torch.Generator().manual_seed(k)) for k in (1, 2))
    assert torch.equal(pack_module("edits.judging.metrics").read_case(source, edited, mask).mask, kept.expand(2, *size))
    predictions = pack_module("edits.judging.ranking").read_predictions(
        edited, mask, None, "masked", 0.0, 0, "a cat", 0, 0
    )
    assert torch.equal(predictions.masks, kept.expand(2, *size))


def test_the_picture_under_the_heat_map_is_cropped_and_of_the_right_frame(run, pack_module):
    preview = pack_module("edits.masks.mask")
    image = torch.rand(9, 70, 66, 3, generator=torch.Generator().manual_seed(3))
    assert torch.equal(preview.fit_picture(image, torch.zeros(3, 64, 64)), image[[0, 1, 5], 3:67, 1:65])
    assert torch.equal(preview.fit_picture(image, torch.zeros(9, 64, 64)), image[:, 3:67, 1:65])


def test_the_ratio_in_time_of_every_family_of_videos(pack_module):
    ratios = {
        name: pack_module("host.versions").temporal_ratio(
            tiny_models.FAMILIES[name].make().get_model_object("latent_format")
        )
        for name, family in tiny_models.FAMILIES.items()
        if family.frames
    }
    assert ratios["wan"] == 4
    assert all(ratio >= 1 for ratio in ratios.values())


def test_grey_pictures_are_grey_in_colour_in_every_node(run):
    """One channel is equivalent to three equal ones."""
    generator = torch.Generator().manual_seed(5)
    grey, edited, mask = (
        torch.rand(1, 32, 32, 1, generator=generator),
        torch.rand(1, 32, 32, 3, generator=generator),
        torch.ones(1, 32, 32),
    )
    mask[:, :16] = 0
    vae, ranker = tiny_vaes.taesd(), run("CLIPRankModelLoader", folder="semantic-edit-demo").args[0]
    with torch.inference_mode():
        latent = {"samples": vae.encode(edited)}
    for node, inputs in (
        ("DecoderFinetune", lambda source: dict(vae=vae, image=source, latent=latent, mask=mask, steps=10)),
        ("EditMetrics", lambda source: dict(source=source, edited=edited, mask=mask, lpips="none")),
        (
            "CLIPRank",
            lambda source: dict(
                images=edited, source=source, mask=mask, text="a red circle", background=0.5, clip_rank_model=ranker
            ),
        ),
    ):
        result, wanted = (run(node, **inputs(source)).args for source in (grey, grey.expand(-1, -1, -1, 3)))
        assert all(
            torch.equal(one, other) if isinstance(one, torch.Tensor) else str(one) == str(other)
            for one, other in zip(result, wanted)
            if isinstance(one, (torch.Tensor, float, list))
        ), node
