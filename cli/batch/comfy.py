"""ComfyUI in this process, with the pack: graphs run one after the other with one cache, so the
model stays loaded from row to row.
"""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

from ..client import refusal
from ..console import Problem
from ..files import ROOT, home_folder
from ..graphs import named, title_of
from ..inside import definition_of, import_first
from ..run_folder import MODEL_KINDS, is_this_pack

KEEP = "SemanticEditBatchKeep"
"""The node that replaces SaveImage and keeps its images in memory."""
SAVERS = ("SaveImage",)
EXTRAS = ("nodes_latent.py", "nodes_post_processing.py", "nodes_mask.py", "nodes_custom_sampler.py")
"""The files of comfy_extras that the methods need, in ComfyUI's order, because the first two import
each other. All others are loaded if a workflow has an unknown node.
"""
MODEL_FILES = (".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".gguf")


class RowError(Exception):
    """A row that fails: the stage, and the reason."""

    def __init__(self, stage: str, reason: str):
        super().__init__(stage, reason)
        self.stage, self.reason = stage, reason


@dataclasses.dataclass(frozen=True)
class Place:
    """The location of ComfyUI and its device; the same for every worker.

    Attributes:
        comfyui: its folder. A worker on another machine uses COMFYUI_PATH there, if it is set.
        base: the folder of models/ and custom_nodes/.
        checkpoints: folders of checkpoints that were given as files.
        cpu: run on the CPU.
        threads: CPU threads of torch; None: torch's default.
    """

    comfyui: str
    base: str
    checkpoints: tuple[str, ...] = ()
    cpu: bool = False
    threads: int | None = None


class Listener:
    """The parts of a server that ComfyUI's executor uses."""

    client_id, last_node_id, last_prompt_id = "batch", None, None

    def __init__(self):
        self.sockets_metadata = {}

    def send_sync(self, event, data, sid=None) -> None:
        pass

    def queue_updated(self) -> None:
        pass


class Keep:
    """The node KEEP. `row` differs for each run, so it is never taken from the cache."""

    FUNCTION, RETURN_TYPES, OUTPUT_NODE, CATEGORY = "keep", (), True, "_internal"
    kept: dict[str, Any] = {}

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {"images": ("IMAGE",), "row": ("STRING", {"default": ""})},
            "hidden": {"number": "UNIQUE_ID"},
        }

    def keep(self, images, row, number):
        self.kept[str(number)] = images
        return {}


class Comfy:
    """ComfyUI with the pack, its folders below `folder`. One per process; `run` may be called from
    any thread, one call at a time.
    """

    def __init__(self, place: Place, folder: Path):
        self.place, self.folder, self.count = place, folder, 0
        self.lock, self.stopped = threading.Lock(), False
        self.input, self.temp, self.output = (folder / name for name in ("input", "temp", "output"))
        for path in (self.input, self.temp, self.output):
            path.mkdir(parents=True, exist_ok=True)
        os.environ["TQDM_DISABLE"] = "1"
        comfyui = Path(os.environ.get("COMFYUI_PATH") or place.comfyui)
        if not (comfyui / "comfy" / "samplers.py").is_file():
            raise Problem(f"{comfyui} is not ComfyUI; set COMFYUI_PATH to ComfyUI's folder on this machine.")
        import_first([comfyui, ROOT])
        self.set_options(comfyui)
        self.folders = importlib.import_module("folder_paths")
        self.set_folders(comfyui)
        self.nodes: Any = importlib.import_module("nodes")
        self.load_pack(comfyui)
        execution = importlib.import_module("execution")
        self.validate_prompt = execution.validate_prompt
        self.executor = execution.PromptExecutor(
            Listener(), cache_type=execution.CacheType.CLASSIC, cache_args={"lru": 0, "ram": 0, "ram_inactive": 0}
        )

    def set_options(self, comfyui: Path) -> None:
        options = importlib.import_module("comfy.cli_args").args
        torch = importlib.import_module("torch")
        options.cpu = self.place.cpu
        if Path(self.place.base) != Path(self.place.comfyui):
            options.base_directory = self.place.base
        if self.place.threads:
            torch.set_num_threads(self.place.threads)
        progress: Any = importlib.import_module("comfy.utils")
        progress.PROGRESS_BAR_ENABLED = False

    def set_folders(self, comfyui: Path) -> None:
        paths = self.folders
        paths.set_input_directory(str(self.input))
        paths.set_temp_directory(str(self.temp))
        paths.set_output_directory(str(self.output))
        pack_paths = comfyui / "extra_model_paths.yaml"
        if pack_paths.is_file():
            importlib.import_module("utils.extra_config").load_extra_path_config(str(pack_paths))
        for kind in MODEL_KINDS:
            if (home_folder() / "models" / kind).is_dir():
                paths.add_model_folder_path(kind, str(home_folder() / "models" / kind))
        for folder in self.place.checkpoints:
            paths.add_model_folder_path("checkpoints", folder, is_default=True)

    def load_pack(self, comfyui: Path) -> None:
        for name in EXTRAS:
            self.load(comfyui / "comfy_extras" / name, "comfy_extras")
        if "EditMetrics" not in self.nodes.NODE_CLASS_MAPPINGS:
            self.load(ROOT, "custom_nodes")
        if "EditMetrics" not in self.nodes.NODE_CLASS_MAPPINGS:
            raise Problem("ComfyUI could not load the pack; the lines above contain the reason.")
        self.nodes.NODE_CLASS_MAPPINGS[KEEP] = Keep

    def load(self, path: Path, parent: str) -> None:
        asyncio.run(self.nodes.load_custom_node(str(path), module_parent=parent))

    def provide(self, kinds: set[str]) -> None:
        """Load the node types `kinds`: from all of ComfyUI's files, then from the user's packs.

        Raises:
            Problem: an unknown type.
        """
        known = self.nodes.NODE_CLASS_MAPPINGS
        if kinds - known.keys():
            asyncio.run(self.nodes.init_builtin_extra_nodes())
        if kinds - known.keys():
            self.load_custom_nodes()
        unknown = sorted(kinds - known.keys())
        if unknown:
            raise Problem(
                f"This ComfyUI has no node of the type {', '.join(unknown)}. A custom-node pack is missing or could "
                "not be loaded in this process."
            )

    def load_custom_nodes(self) -> None:
        server: Any = importlib.import_module("server")
        if getattr(server.PromptServer, "instance", None) is None:  # packs add their routes to it
            server.PromptServer(asyncio.new_event_loop())
        for folder in self.folders.get_folder_paths("custom_nodes"):
            for path in sorted(Path(folder).iterdir()):
                usable = path.is_dir() and path.name != "__pycache__" and not path.name.endswith(".disabled")
                if (usable and not is_this_pack(path)) or path.suffix == ".py":
                    self.load(path, "custom_nodes")

    def definitions(self, kinds: set[str] | None = None) -> dict[str, dict]:
        """Nodes in the format of /object_info; None: all that are loaded."""
        known = self.nodes.NODE_CLASS_MAPPINGS
        return {kind: definition_of(known[kind]) for kind in (kinds or set(known)) if kind in known}

    def model_files(self, graph: dict) -> dict[str, Path]:
        """The model files that a graph names, by name."""
        files = {}
        for node in graph.values():
            for name in node["inputs"].values():
                if isinstance(name, str) and name.lower().endswith(MODEL_FILES):
                    paths = (self.folders.get_full_path(kind, name) for kind in self.folders.folder_names_and_paths)
                    if path := next(filter(None, paths), None):
                        files[name] = Path(path)
        return files

    def run(self, graph: dict) -> tuple[dict[str, Any], float]:
        """Run a graph: (IMAGEs [N, H, W, C] by the title, or id, of the SaveImage that would have
        saved them, the seconds that it took). The graph is changed.

        Raises:
            RowError: ComfyUI refuses the graph, or a node fails.
        """
        with self.lock:
            if self.stopped:
                raise RowError("edit", "the run was ended")
            began = time.perf_counter()
            self.count += 1
            for node in graph.values():
                if node["class_type"] in SAVERS:
                    node["class_type"] = KEEP
                    node["inputs"] = {"images": node["inputs"].get("images"), "row": str(self.count)}
            Keep.kept.clear()
            number = f"batch-{self.count}"
            valid, error, outputs, errors = asyncio.run(self.validate_prompt(number, graph, None))
            if not valid or errors:
                text = refusal({"error": error, "node_errors": errors}, graph, 400)
                raise RowError("check", " ".join(text.split()))
            self.executor.execute(graph, number, {"client_id": "batch"}, outputs)
            kept = {title_of(graph[key]) or key: images for key, images in Keep.kept.items()}
            Keep.kept.clear()
            self.empty(self.temp)
            self.empty(self.output)
            if not self.executor.success:
                raise RowError("edit", self.failure(graph))
            return kept, time.perf_counter() - began

    def failure(self, graph: dict) -> str:
        """ComfyUI's message about the last run, which failed."""
        for event, data in self.executor.status_messages:
            if event == "execution_error":
                kind = data.get("exception_type", "Error").rpartition(".")[2]
                node = named(graph, str(data.get("node_id")))
                return f"the node {node} failed: {kind}: {data['exception_message'].strip()}"
            if event == "execution_interrupted":
                return "ComfyUI was interrupted"
        return "ComfyUI gave no reason"

    def call(self, name: str, **inputs) -> tuple:
        """Execute a node of the pack by itself, as ComfyUI does; omitted widgets take their
        defaults.
        """
        torch = importlib.import_module("torch")
        node = self.nodes.NODE_CLASS_MAPPINGS[name]
        schema = node.define_schema().inputs
        given = {item.id: item.default for item in schema if getattr(item, "default", None) is not None}
        with torch.inference_mode():
            made = node.PREPARE_CLASS_CLONE({"hidden_inputs": {}}).EXECUTE_NORMALIZED(**{**given, **inputs})
        return tuple(made.args)

    def stop(self) -> None:
        """Interrupt the current row, and start no other."""
        self.stopped = True
        self.nodes.interrupt_processing()

    @staticmethod
    def empty(folder: Path) -> None:
        for path in folder.iterdir():
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
