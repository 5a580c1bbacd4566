"""Private copies of VAEs."""

import tiny_vaes
import torch


def test_a_private_copy_shares_no_state_with_the_vae(pack_module):
    """Including state that a release, a wrapper or another pack left on the modules: buffers
    between steps, modules in lists, bound methods.
    """
    vae = tiny_vaes.taesd()
    network = vae.first_stage_model
    block, buffer = network.taesd_decoder[1], torch.zeros(3)
    block._comfy_cross_step_state = {"key": (1,), "x": buffer}
    block.some_cache = {"deep": [(buffer, {"x": buffer})], "settings": (1, "a")}
    network.taesd_decoder.in_a_list = [network.taesd_decoder[3]]
    block.forward = block.forward  # bound to this block, as by a patch of the instance
    with torch.inference_mode():
        before = vae.decode(torch.ones(1, 4, 4, 4))
    copied = pack_module("host.vae_copy").private_network(vae)
    new = copied.taesd_decoder[1]
    assert not hasattr(new, "_comfy_cross_step_state")
    assert new.some_cache["settings"] == (1, "a")
    [(first, second)] = new.some_cache["deep"]
    first += 1
    second["x"] += 1
    assert not buffer.any()
    assert copied.taesd_decoder.in_a_list[0] is copied.taesd_decoder[3] is not network.taesd_decoder[3]
    assert new.forward.__self__ is new
    with torch.no_grad():
        for value in copied.parameters():
            value.zero_()
        assert not copied.decode(torch.ones(1, 4, 4, 4)).isnan().any()
        assert not new(torch.ones(1, 4, 4, 4)).any()
    with torch.inference_mode():
        assert torch.equal(vae.decode(torch.ones(1, 4, 4, 4)), before)
        assert block._comfy_cross_step_state["x"] is buffer
