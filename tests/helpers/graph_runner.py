"""Whole graphs in this process: ComfyUI's own validation and executor, without its server."""

import asyncio
import contextlib
import copy
import pathlib
from collections import Counter

import execution
import folder_paths
import numpy as np
import torch
from PIL import Image

import nodes

EXTRAS = (
    "nodes_latent.py",
    "nodes_post_processing.py",
    "nodes_mask.py",
    "nodes_custom_sampler.py",
    "nodes_ip2p.py",
    "nodes_edit_model.py",
    "nodes_flux.py",
    "nodes_qwen.py",
    "nodes_model_advanced.py",
    "nodes_cfg.py",
    "nodes_images.py",
    "nodes_primitive.py",
)
"""Files of comfy_extras that the pack's workflows need, in ComfyUI's order (the first two import
each other); loading all takes many seconds.
"""


def load_extras() -> None:
    folder = pathlib.Path(nodes.__file__).parent / "comfy_extras"
    for name in EXTRAS:
        assert asyncio.run(nodes.load_custom_node(str(folder / name), module_parent="comfy_extras")), (
            f"ComfyUI's {name} did not load"
        )


class Server:
    """The parts of a server that the executor and the nodes use."""

    client_id, last_node_id, last_prompt_id = "test", None, None

    def __init__(self):
        self.sockets_metadata, self.messages = {}, []

    def send_sync(self, event, data, sid=None) -> None:
        self.messages.append((event, data))

    def send_progress_text(self, text, node_id, sid=None) -> None:
        self.messages.append(("progress_text", (node_id, text)))

    def queue_updated(self) -> None:
        pass


class GraphRunner:
    """Runs graphs one after the other with one cache, like a running ComfyUI. ``folder`` gets
    ``input``, ``output`` and ``temp``.
    """

    def __init__(self, folder: pathlib.Path):
        self.folder, self.count = folder, 0
        for name in ("input", "output", "temp"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.executor = execution.PromptExecutor(
            Server(), cache_type=execution.CacheType.CLASSIC, cache_args={"lru": 0, "ram": 0, "ram_inactive": 0}
        )

    def put_picture(self, name: str, picture: torch.Tensor, mask: torch.Tensor | None = None) -> None:
        """Save a picture [3, H, W] in 0..1 to LoadImage's folder, with ``mask`` [H, W] in the alpha
        channel as by the editor's mask painter.
        """
        picture = picture if mask is None else torch.cat([picture, 1 - mask[None]])
        Image.fromarray((picture.movedim(0, -1) * 255).round().byte().numpy()).save(self.folder / "input" / name)

    def validate(self, graph: dict) -> tuple:
        """The server's validation of a graph: (valid, error, outputs, errors of nodes)."""
        self.count += 1
        return asyncio.run(execution.validate_prompt(f"test-{self.count}", copy.deepcopy(graph), None))

    def run(self, graph: dict) -> dict[str, list[dict]]:
        """Run a graph; returns the entries of its nodes' pictures by the nodes' titles."""
        valid, error, outputs, errors = self.validate(graph)
        assert valid, (error, errors)
        self.executor.execute(copy.deepcopy(graph), f"test-{self.count}", {"client_id": "test"}, outputs)
        failures = [
            data["exception_message"] for event, data in self.executor.status_messages if event == "execution_error"
        ]
        assert self.executor.success, failures
        made = self.executor.history_result["outputs"]
        shown = {
            node: output.get("images") or output.get("semantic_edit", [{}])[0].get("images")
            for node, output in made.items()
        }
        return {graph[node]["_meta"]["title"]: images for node, images in shown.items() if images}

    def picture(self, entry: dict) -> torch.Tensor:
        """A picture of a run's entry, as [3, H, W] in 0..1."""
        with Image.open(self.folder / entry["type"] / entry["subfolder"] / entry["filename"]) as file:
            return torch.from_numpy(np.array(file.convert("RGB"))).movedim(-1, 0) / 255


@contextlib.contextmanager
def folders_at(folder: pathlib.Path, checkpoints: pathlib.Path):
    """Inside a ``with`` block, ComfyUI's input, output and temp folders are below ``folder``, and
    ``checkpoints`` is the first folder of checkpoints.
    """
    before = {name: getattr(folder_paths, f"get_{name}_directory")() for name in ("input", "output", "temp")}
    known = folder_paths.folder_names_and_paths["checkpoints"][0]
    known_before = list(known)
    try:
        for name in before:
            getattr(folder_paths, f"set_{name}_directory")(str(folder / name))
        folder_paths.add_model_folder_path("checkpoints", str(checkpoints), is_default=True)
        folder_paths.filename_list_cache.pop("checkpoints", None)
        yield
    finally:
        for name, place in before.items():
            getattr(folder_paths, f"set_{name}_directory")(place)
        known[:] = known_before
        folder_paths.filename_list_cache.pop("checkpoints", None)


class Evaluations:
    """Counts evaluations of UNets by the id of the node that caused them: passes in ``by_node``,
    and the latents in them in ``latents``.
    """

    def __init__(self, server: Server):
        self.server, self.by_node, self.latents = server, Counter(), Counter()

    def __enter__(self):
        from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

        def count(module, inputs):
            if isinstance(module, UNetModel):
                self.by_node[self.server.last_node_id] += 1
                self.latents[self.server.last_node_id] += inputs[0].shape[0]

        self.hook = torch.nn.modules.module.register_module_forward_pre_hook(count)
        return self

    def __exit__(self, *_):
        self.hook.remove()
