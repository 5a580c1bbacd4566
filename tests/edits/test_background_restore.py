"""BackgroundRestore: exact outside the mask, seamless by the methods that promise it, and clear
refusals.
"""

import pytest
import tiny_vaes
import torch


def source_and_edit(batch: int = 1, height: int = 40, width: int = 48):
    """A shaded ground, and the same but darker with a bright square in the middle of the mask."""
    ramp = torch.linspace(0.2, 0.8, width).expand(batch, height, width)
    image = torch.stack([ramp, ramp * 0.5, 1 - ramp], -1).clone()
    edited = image - 0.15
    edited[:, 16:24, 20:28, 0] += 0.3
    mask = torch.zeros(1, height, width)
    mask[:, 8:32, 10:38] = 1
    return image, edited, mask


def test_stitch_is_a_blend(run):
    image, edited, mask = source_and_edit()
    soft = mask * 0.25
    for given in (mask, soft):
        result = run("BackgroundRestore", image=image, edited=edited, mask=given, method="stitch").args[0]
        assert torch.allclose(result, image + given[..., None] * (edited - image), atol=1e-6)
        assert torch.equal(result[given == 0], image[given == 0])


def test_poisson_takes_the_grounds_level(run):
    image, edited, mask = source_and_edit()
    output = run("BackgroundRestore", image=image, edited=edited, mask=mask, method="poisson")
    wanted = image.clone()
    wanted[:, 16:24, 20:28, 0] += 0.3
    assert (output.args[0] - wanted).abs().max() < 2e-3
    assert torch.equal(output.args[0][mask == 0], image[mask == 0])
    assert output.ui["report"][0]["outside_after"] == 100.0


@pytest.mark.parametrize("method", ["stitch", "poisson"])
def test_feathered_outside_stays_exact(run, method):
    image, edited, mask = source_and_edit()
    result = run("BackgroundRestore", image=image, edited=edited, mask=mask, method=method, feather=4).args[0]
    assert torch.equal(result[mask == 0], image[mask == 0])
    assert (result - image)[:, 18:22, 22:26].abs().max() > 0.1


def test_a_latent_is_decoded_and_put_back_where_it_was_cut_from(run):
    vae = tiny_vaes.taesd()
    image = torch.rand((1, 45, 37, 3), generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(1, 45, 37)
    mask[:, :30, :20] = 1
    with torch.inference_mode():
        latent = {"samples": vae.encode(image)}
        decoded = vae.decode(latent["samples"])
    before = tiny_vaes.weights_hash(vae)
    result = run("BackgroundRestore", image=image, vae=vae, latent=latent, mask=mask, method="stitch").args[0]
    assert decoded.shape[1:3] == (40, 32)
    assert result.shape == image.shape
    assert tiny_vaes.weights_hash(vae) == before
    wanted = image.clone()
    wanted[:, 2:30, 2:20] = decoded[:, :28, :18]
    assert torch.equal(result, wanted)


@pytest.mark.parametrize("family", tiny_vaes.FAMILIES)
def test_latent_optimisation_moves_the_background_only_by_the_latent(run, family):
    vae = tiny_vaes.FAMILIES[family]()
    image = torch.rand((1, 32, 32, 3), generator=torch.Generator().manual_seed(0)) * 0.2 + 0.4
    mask = torch.zeros(1, 32, 32)
    mask[:, :16] = 1
    with torch.inference_mode():
        latent = {"samples": vae.encode(image)}
    before, samples = tiny_vaes.weights_hash(vae), latent["samples"].clone()
    output = run(
        "BackgroundRestore", image=image, vae=vae, latent=latent, mask=mask, method="latent optimisation", steps=20
    )
    result = output.ui["report"][0]
    assert result["outside_after"] > result["outside_before"] + 0.3
    assert len(result["curve"]) == 20
    assert tiny_vaes.weights_hash(vae) == before
    assert torch.equal(samples, latent["samples"])


def test_latent_optimisation_takes_a_picture_too(run):
    vae, (image, edited, mask) = tiny_vaes.taesd(), source_and_edit()
    result = run(
        "BackgroundRestore", image=image, vae=vae, edited=edited, mask=mask, method="latent optimisation", steps=5
    )
    assert result.args[0].shape == image.shape
    assert result.ui["report"][0]["outside_after"] > result.ui["report"][0]["outside_before"]


@pytest.mark.parametrize("method", ["stitch", "poisson"])
def test_batches_one_to_many_and_one_each(run, method):
    image, edited, mask = source_and_edit()
    edits = torch.cat([edited, edited * 0.5, 1 - edited]).clamp(0, 1)
    many = run("BackgroundRestore", image=image, edited=edits, mask=mask, method=method).args[0]
    for k in range(3):
        assert torch.equal(
            many[k : k + 1],
            run("BackgroundRestore", image=image, edited=edits[k : k + 1], mask=mask, method=method).args[0],
        )
    each = run(
        "BackgroundRestore",
        image=image.repeat(3, 1, 1, 1),
        edited=edits,
        mask=torch.cat([mask, 0 * mask, 1 + 0 * mask]),
        method=method,
    ).args[0]
    assert torch.equal(each[1], image[0])
    assert torch.allclose(each[2], edits[2].clamp(0, 1), atol=1e-6)


@pytest.mark.parametrize("value, words", [(0.0, "the mask is empty"), (1.0, "covers everything")])
def test_empty_and_full_masks_in_words(run, value, words):
    image, edited, _ = source_and_edit()
    output = run(
        "BackgroundRestore", image=image, edited=edited.clamp(0, 1), mask=torch.full((1, 5, 5), value), method="poisson"
    )
    assert words in output.ui["report"][0]["text"]
    assert torch.allclose(output.args[0], edited.clamp(0, 1) if value else image, atol=1e-6)


def test_wrong_inputs_are_answered(run):
    image, edited, mask = source_and_edit()
    good, vae = dict(image=image, edited=edited, mask=mask, method="stitch"), tiny_vaes.taesd()
    latent = {"samples": torch.zeros(1, 4, 5, 6)}
    for change, words in [
        ({"edited": None}, "neither a latent nor an edited image"),
        ({"latent": latent}, "both a latent and an edited image"),
        ({"edited": None, "latent": latent}, "got no VAE"),
        ({"method": "latent optimisation"}, "got no VAE"),
        (
            {"image": image.repeat(2, 1, 1, 1), "edited": edited.repeat(3, 1, 1, 1)},
            "got 2 source images for 3 images; give 1 or 3",
        ),
        ({"mask": mask.repeat(2, 1, 1)}, "got 2 masks for 1 images"),
        ({"edited": torch.rand(1, 200, 48, 3)}, "48 x 40 pixels and the edit 48 x 200"),
        ({"edited": torch.full_like(edited, torch.nan)}, "NaN"),
        ({"edited": None, "vae": vae, "latent": {"samples": torch.zeros(1, 16, 5, 6)}}, "16 channels for a VAE with 4"),
    ]:
        with pytest.raises(ValueError, match=f"^BackgroundRestore: .*{words}"):
            run("BackgroundRestore", **{**good, **change})


def textured(height: int, width: int) -> torch.Tensor:
    """Waves of many lengths, as in photographs."""
    rows, columns = torch.arange(height).view(-1, 1) * 1.0, torch.arange(width).view(1, -1) * 1.0
    waves = [
        torch.sin(0.9 * rows / scale + 0.5 * columns / scale + channel)
        for scale in (1.5, 4, 11, 30)
        for channel in (0, 1, 2)
    ]
    return (0.5 + 0.1 * torch.stack(waves).view(4, 3, height, width).sum(0)).clamp(0, 1).movedim(0, -1)[None]


def resized(image: torch.Tensor, height: int, width: int) -> torch.Tensor:
    return (
        torch.nn.functional.interpolate(image.movedim(-1, 1), (height, width), mode="bicubic", antialias=True)
        .clamp(0, 1)
        .movedim(1, -1)
    )


def half(height: int, width: int) -> torch.Tensor:
    mask = torch.zeros(1, height, width)
    mask[:, :, width // 2 :] = 1
    return mask


@pytest.mark.parametrize("with_vae", [False, True])
def test_a_scaled_edit_is_not_pasted_as_if_it_were_cropped(run, with_vae):
    """570 x 400 to 544 x 384 could be a crop by 32. The VAE's ratio of 8, or the background, shows
    that it is not.
    """
    image = textured(400, 570)
    inputs = dict(
        image=image,
        edited=resized(image, 384, 544),
        mask=half(400, 570),
        method="stitch",
        **({"vae": tiny_vaes.taesd()} if with_vae else {}),
    )
    with pytest.raises(
        ValueError, match="BackgroundRestore: the source image is 570 x 400 pixels and the edit 544 x 384; .*set resize"
    ):
        run("BackgroundRestore", **inputs)
    output = run("BackgroundRestore", **inputs, resize=True)
    assert output.args[0].shape == image.shape
    assert (output.args[0] - image).abs().mean() < 0.02
    assert torch.equal(output.args[0][:, :, :285], image[:, :, :285])
    report = output.ui["report"][0]
    assert "the edit was scaled from 544 x 384 to 570 x 400" in report["text"]
    assert not report["warning"]


def test_a_crop_by_a_large_ratio_is_known_by_its_background(run):
    """A VAE with a ratio of 32 crops 570 x 400 to 544 x 384. Without a VAE the background
    determines it.
    """
    image = textured(400, 570)
    cropped = image[:, 8:392, 13:557]
    edited = cropped.clone()
    edited[:, :, 300:] = 1 - edited[:, :, 300:]
    for resize in (False, True):  # resize does not scale an edit that is cropped
        result = run(
            "BackgroundRestore", image=image, edited=edited, mask=half(400, 570), method="stitch", resize=resize
        ).args[0]
        assert torch.equal(result[:, 8:392, 313:557], 1 - image[:, 8:392, 313:557])
        assert torch.equal(result[:, :8], image[:, :8])


def test_the_vaes_ratio_tells_what_encoding_crops(run):
    vae = tiny_vaes.taesd()
    vae.downscale_ratio = 16
    image, mask = textured(70, 75), half(70, 75)
    result = run(
        "BackgroundRestore", image=image, edited=image[:, 3:67, 5:69], mask=mask, method="stitch", vae=vae
    ).args[0]
    assert torch.equal(result, image)
    with pytest.raises(
        ValueError, match="75 x 70 pixels and the edit 72 x 64; expected the same size, or 64 x 64, to which this VAE"
    ):
        run("BackgroundRestore", image=image, edited=image[:, :64, :72], mask=mask, method="stitch", vae=vae)


def test_latent_optimisation_scales_the_source_when_asked(run):
    vae, image = tiny_vaes.taesd(), textured(50, 60)
    inputs = dict(
        image=image, edited=resized(image, 32, 40), mask=half(50, 60), method="latent optimisation", vae=vae, steps=2
    )
    with pytest.raises(ValueError, match="60 x 50 pixels and the latent decodes to 40 x 32"):
        run("BackgroundRestore", **inputs)
    output = run("BackgroundRestore", **inputs, resize=True)
    assert output.args[0].shape == (1, 32, 40, 3)
    assert "the source was scaled from 60 x 50 to 40 x 32" in output.ui["report"][0]["text"]


@pytest.mark.parametrize(
    "change, is_said",
    [
        (lambda image: image, False),
        (lambda image: (image - 0.15).clamp(0, 1), False),
        (lambda image: image.roll(6, 2), True),
        (lambda image: image.flip(1), True),
    ],
)
def test_a_background_that_does_not_match_is_said(run, change, is_said):
    """A darker edit of the same picture matches; an edit of another picture or of another part does
    not.
    """
    image = textured(64, 80)
    report = run("BackgroundRestore", image=image, edited=change(image), mask=half(64, 80), method="stitch").ui[
        "report"
    ][0]
    assert bool(report["warning"]) == is_said == ("does not match the source" in report["text"])


@pytest.mark.parametrize("method", ["stitch", "poisson", "latent optimisation"])
def test_a_coloured_edit_of_a_grey_source_stays_coloured(run, method):
    image, edited, mask = source_and_edit()
    grey = image.mean(-1, keepdim=True)
    settings = dict(
        mask=mask, method=method, steps=3, vae=tiny_vaes.taesd() if method == "latent optimisation" else None
    )
    result, wanted = (
        run("BackgroundRestore", image=source, edited=edited, **settings).args[0]
        for source in (grey, grey.expand(-1, -1, -1, 3))
    )
    assert result.shape[-1] == 3
    assert torch.equal(result, wanted)
    assert (result.amax(-1) - result.amin(-1))[mask > 0].max() > 0.01


def test_pictures_of_a_pixel_are_answered_in_words(run):
    one = torch.rand(1, 1, 1, 3)
    for method in ("stitch", "poisson"):
        assert torch.equal(
            run("BackgroundRestore", image=one, edited=one, mask=torch.zeros(1, 1, 1), method=method).args[0], one
        )
    for height, width in ((1, 1), (7, 40)):
        picture = torch.rand(1, height, width, 3)
        with pytest.raises(
            ValueError,
            match=f"BackgroundRestore: the edited image is {width} x {height} pixels; expected at least 8 x 8",
        ):
            run(
                "BackgroundRestore",
                image=picture,
                edited=picture,
                mask=torch.ones(1, 1, 1),
                method="latent optimisation",
                vae=tiny_vaes.taesd(),
            )
