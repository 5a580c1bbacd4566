"""DecoderFinetune on real architectures: the improvement, and that the given VAE is unchanged after
every way in which a run can end.
"""

import gc
import weakref

import comfy.model_management
import comfy.model_patcher
import comfy.utils
import pytest
import tiny_vaes
import torch
from decoder_scene import SIZE, report, scene

WAYS = {
    "default": {},
    "adam": {"optimiser": "adam", "learning_rate": 1e-3},
    "last blocks": {"scope": "last blocks"},
    "checkpointing": {"low_memory": "checkpointing"},
}


@pytest.mark.parametrize(
    ("family", "way"),
    [(family, way) for family in tiny_vaes.FAMILIES for way in ("default", "adam")]
    + [(family, way) for family in ("AutoencoderKL", "TAESD") for way in ("last blocks", "checkpointing")],
)
def test_every_family_gets_nearer_to_the_source_and_stays_itself(run, family, way):
    vae = tiny_vaes.FAMILIES[family]()
    before, inputs = tiny_vaes.weights_hash(vae), scene(vae)
    output = run("DecoderFinetune", **inputs, steps=15, **WAYS[way])
    image, tuned = output.args
    result = report(output)
    assert image.shape == (1, SIZE, SIZE, 3), result
    assert result["outside_after"] > result["outside_before"] + 1, result
    assert not any("Adam" in note for note in result["notes"])
    assert len(result["curve"]) == result["passes"] > 0
    assert max(result["curve"]) > result["curve"][0]
    assert tiny_vaes.weights_hash(vae) == before
    assert tiny_vaes.weights_hash(tuned) != before
    with torch.inference_mode():
        again = tuned.decode(inputs["latent"]["samples"]).reshape(image.shape)
        assert torch.allclose(again, image, atol=1e-5)
        assert not torch.allclose(vae.decode(inputs["latent"]["samples"]).reshape(image.shape), image, atol=1e-3)
        encoded = tuned.encode(inputs["image"])
    assert torch.allclose(encoded, vae.encode(inputs["image"]), atol=1e-4)  # only the decoder was tuned


def test_adam_is_the_papers_loop(run):
    """Against a separate implementation: Adam on the decoder's weights, lambda 100, from z0."""
    vae = tiny_vaes.kl()
    inputs = scene(vae)
    result = run(
        "DecoderFinetune", **inputs, steps=5, learning_rate=1e-3, optimiser="adam", mixed_precision=False
    ).args[0]
    with torch.inference_mode(False), torch.enable_grad():
        network = tiny_vaes.kl().first_stage_model.requires_grad_(False)
        weights = [
            *network.decoder.requires_grad_(True).parameters(),
            *network.post_quant_conv.requires_grad_(True).parameters(),
        ]
        latent, source = inputs["latent"]["samples"].clone(), inputs["image"].movedim(-1, 1) * 2 - 1
        mask, adam = inputs["mask"][:, None], torch.optim.Adam(weights, lr=1e-3)
        edited = network.decode(latent).detach()
        for _ in range(5):
            adam.zero_grad()
            decoded = network.decode(latent)
            (
                torch.nn.functional.mse_loss(mask * edited, mask * decoded)
                + 100 * torch.nn.functional.mse_loss((1 - mask) * source, (1 - mask) * decoded)
            ).backward()
            adam.step()
        wanted = (network.decode(latent).detach() / 2 + 0.5).clamp(0, 1).movedim(1, -1)
    assert torch.allclose(result, wanted, atol=2e-3)


def test_tiles_give_the_gradients_of_the_whole(pack_module, monkeypatch):
    training, background, copies = (
        pack_module("edits.background.decoder_pass"),
        pack_module("core.pictures.background"),
        pack_module("host.vae_copy"),
    )
    monkeypatch.setattr(pack_module("edits.background.decoder_memory"), "TILE", 24)
    vae, gradients = tiny_vaes.taesd(), {}
    with torch.enable_grad():
        for way in ("off", "tiles", "checkpointing"):
            network = copies.private_network(vae)
            work = training.DecoderPass(
                network, torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(0)), low_memory=way
            )
            source = torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(1)) * 2 - 1
            goal = background.Goal(source, work.picture, (source[:, :1] > 0).float())
            decoded, loss = work.lower(background.reconstruction_loss, goal)
            assert work.memory.kind == way
            assert torch.allclose(decoded, work.picture, atol=1e-4)
            gradients[way] = (
                loss,
                torch.cat([parameter.grad.flatten() for parameter in work.parameters if parameter.grad is not None]),
            )
    for way in ("tiles", "checkpointing"):
        assert gradients[way][0] == pytest.approx(gradients["off"][0], rel=1e-4)
        assert torch.allclose(
            gradients[way][1], gradients["off"][1], rtol=1e-2, atol=1e-4 * float(gradients["off"][1].abs().max())
        )


class Stop(Exception):
    pass


@pytest.mark.parametrize(
    ("family", "error"),
    [
        ("TAESD", comfy.model_management.InterruptProcessingException),
        ("TAESD", torch.cuda.OutOfMemoryError),
        ("TAESD", Stop),
        ("AutoencoderKL", torch.cuda.OutOfMemoryError),
    ],
)
@pytest.mark.parametrize("when", ["first decode", "during passes"])
def test_nothing_is_changed_or_kept_when_it_ends_badly(run, pack_module, monkeypatch, error, family, when):
    vae = tiny_vaes.FAMILIES[family]()
    inputs, before, networks = scene(vae), tiny_vaes.weights_hash(vae), []
    decoder, copies, training = (
        pack_module("edits.background.finetune"),
        pack_module("host.vae_copy"),
        pack_module("edits.background.decoder_pass"),
    )
    monkeypatch.setattr(
        decoder, "private_network", lambda *given: networks.append(copies.private_network(*given)) or networks[-1]
    )
    passes, real = [], training.DecoderPass.lower

    def fail(self, *given):
        passes.append(1)
        if len(passes) == 3:
            raise error("injected")
        return real(self, *given)

    if when == "first decode":
        monkeypatch.setattr(training, "record", lambda *_: (_ for _ in ()).throw(error("injected")))
    else:
        monkeypatch.setattr(training.DecoderPass, "lower", fail)
    with pytest.raises(error):
        run("DecoderFinetune", **inputs, steps=30)
    assert tiny_vaes.weights_hash(vae) == before
    assert len(networks) == 1
    gone = weakref.ref(networks.pop())
    gc.collect()
    assert gone() is None  # the private copy is freed


def test_the_users_interruption_stops_it(run):
    vae = tiny_vaes.taesd()
    inputs, before = scene(vae), tiny_vaes.weights_hash(vae)
    comfy.model_management.interrupt_current_processing()
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        run("DecoderFinetune", **inputs)
    assert tiny_vaes.weights_hash(vae) == before


def test_memory_is_given_back_after_success(run, pack_module, monkeypatch):
    vae, networks = tiny_vaes.taesd(), []
    decoder, copies = pack_module("edits.background.finetune"), pack_module("host.vae_copy")
    monkeypatch.setattr(
        decoder,
        "private_network",
        lambda *given: networks.append(weakref.ref(network := copies.private_network(*given))) or network,
    )
    inputs = scene(vae, batch=2)
    output = run("DecoderFinetune", **inputs, steps=10)
    tuned = output.args[1].first_stage_model
    assert networks[0]() is tuned
    assert networks[1]() is None
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in tuned.parameters())
    assert not any("forward" in module.__dict__ for module in tuned.modules())
    del output, tuned
    gc.collect()
    assert networks[0]() is None


def test_items_do_not_depend_on_each_other(run):
    vae = tiny_vaes.taesd()
    inputs = scene(vae, batch=2)
    inputs["latent"]["samples"] = inputs["latent"]["samples"] * torch.tensor([1.0, 0.5]).reshape(2, 1, 1, 1)
    both = run("DecoderFinetune", **inputs, steps=15).args[0]
    alone = run("DecoderFinetune", **{**inputs, "latent": {"samples": inputs["latent"]["samples"][1:]}}, steps=15).args[
        0
    ]
    assert both.shape[0] == 2
    assert torch.allclose(both[1], alone[0], atol=1e-4)


@pytest.mark.parametrize("value, word", [(0.0, "empty"), (1.0, "covers everything")])
def test_empty_and_full_masks_in_words(run, value, word):
    vae = tiny_vaes.taesd()
    inputs = {**scene(vae), "mask": torch.full((1, 7, 9), value)}
    output = run("DecoderFinetune", **inputs, steps=10)
    assert word in report(output)["text"]
    if value == 1.0:
        with torch.inference_mode():
            assert torch.allclose(output.args[0], vae.decode(inputs["latent"]["samples"]), atol=1e-5)
        assert report(output)["outside_after"] is None


def test_a_source_is_cropped_as_comfyui_crops(run):
    """A picture of 37 x 43 pixels encodes to 32 x 40: rows 2..34 and columns 1..41, and the mask is
    cropped alike.
    """
    vae = tiny_vaes.taesd()
    image, mask = torch.rand((1, 37, 43, 3), generator=torch.Generator().manual_seed(0)), torch.zeros(1, 37, 43)
    mask[:, 10:20, 10:20] = 1
    with torch.inference_mode():
        latent = {"samples": vae.encode(image)}
    inside = run("DecoderFinetune", vae=vae, image=image, latent=latent, mask=mask, steps=10)
    cropped = run(
        "DecoderFinetune", vae=vae, image=image[:, 2:34, 1:41], latent=latent, mask=mask[:, 2:34, 1:41], steps=10
    )
    assert inside.args[0].shape == (1, 32, 40, 3)
    assert torch.equal(inside.args[0], cropped.args[0])


def test_videos(run):
    vae = tiny_vaes.wan()
    frames = torch.rand((5, SIZE, SIZE, 3), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        latent = {"samples": vae.encode(frames)}
    mask = torch.zeros(1, SIZE, SIZE)
    mask[:, :16] = 1
    before = tiny_vaes.weights_hash(vae)
    output = run(
        "DecoderFinetune",
        vae=vae,
        image=frames,
        latent=latent,
        mask=mask,
        steps=25,
        optimiser="adam",
        learning_rate=1e-3,
    )
    assert latent["samples"].shape[2] == 2
    assert output.args[0].shape == (5, SIZE, SIZE, 3)
    assert report(output)["outside_after"] > report(output)["outside_before"] + 0.5
    assert tiny_vaes.weights_hash(vae) == before
    with pytest.raises(ValueError, match="got 3 source images for 1 x 5 frames"):
        run("DecoderFinetune", vae=vae, image=frames[:3], latent=latent, mask=mask)


def test_wrong_inputs_are_answered_with_both_numbers(run):
    vae = tiny_vaes.taesd()
    good = scene(vae, batch=3)
    for change, words in [
        ({"image": good["image"].repeat(2, 1, 1, 1)}, "got 2 source images for 3 latents; give 1 or 3"),
        ({"mask": good["mask"].repeat(2, 1, 1)}, "got 2 masks for 3 latents; give 1 or 3"),
        ({"image": torch.rand(1, 64, 48, 3)}, "48 x 64 pixels and the latent decodes to 32 x 32"),
        ({"latent": {"samples": torch.zeros(1, 16, 4, 4)}}, "16 channels for a VAE with 4"),
        ({"latent": {"samples": torch.full((1, 4, 4, 4), torch.nan)}}, "NaN"),
        ({"image": torch.zeros(0, 32, 32, 3)}, "at least one image"),
    ]:
        with pytest.raises(ValueError, match=f"^DecoderFinetune: .*{words}"):
            run("DecoderFinetune", **{**good, **change})


def test_vaes_that_cannot_be_tuned_are_named(run):
    import comfy.pixel_space_convert

    vae = tiny_vaes.taesd()
    inputs = scene(vae)
    pixels = comfy.sd.VAE(sd={"pixel_space_vae": torch.ones(1)}, dtype=torch.float32)
    with pytest.raises(ValueError, match="PixelspaceConversionVAE.*expected AutoencoderKL"):
        run("DecoderFinetune", **{**inputs, "vae": pixels})
    vae.latent_dim = 1
    with pytest.raises(ValueError, match="does not decode to images"):
        run("DecoderFinetune", **inputs)


def test_progress_text_and_previews(run, monkeypatch, pack_module):
    """The bar counts passes and shows pictures; the text has the background's PSNR."""
    sent, texts, vae = [], [], tiny_vaes.taesd()
    inputs = scene(vae)
    monkeypatch.setattr(
        comfy.utils,
        "PROGRESS_BAR_HOOK",
        lambda value, total, preview, node_id=None: sent.append((value, total, preview)),
    )
    monkeypatch.setattr(pack_module("host.progress"), "say", lambda text, node: texts.append(text))
    run("DecoderFinetune", **inputs, steps=60)
    assert sent[-1][0] == sent[-1][1]
    assert any(preview is not None and preview[1].size == (SIZE, SIZE) for *_, preview in sent)
    assert len(texts) > 5
    assert texts[0].startswith("background ")
    assert "dB, pass 1 of 13" in texts[0]


# ---- a trained AutoencoderKL, and one without usable curvature ----
