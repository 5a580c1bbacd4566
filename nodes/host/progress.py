"""Progress bars with previews, interruption, and lines of text for the log."""

import logging
from collections.abc import Callable
from typing import TypeVar

import comfy.model_management
import comfy.utils

Shown = TypeVar("Shown")


def forgiving(make: Callable[[], Shown], instead: Shown) -> Shown:
    """The result of ``make()``, which computes a preview. If that fails, logs a warning and returns
    ``instead``.

    All previews of the pack are computed through this function, so that a failed preview does not
    fail the run. ComfyUI's interruption is not caught.
    """
    try:
        return make()
    except comfy.model_management.InterruptProcessingException:
        raise
    except OSError as error:
        logging.warning(
            "Semantic Edit: no preview (%s); the result is not affected; check that ComfyUI can write to its temp "
            "folder.",
            error,
            exc_info=True,
        )
    except Exception as error:
        logging.warning(
            "Semantic Edit: no preview (%s: %s); the result is not affected; check that the VAE belongs to the model.",
            type(error).__name__,
            error,
            exc_info=True,
        )
    return instead


class Progress:
    """The progress bar of the executing node, with previews of the clean latent. Stops if the user
    interrupts.
    """

    def __init__(self, total: int, model=None):
        self.total, self.done = total, 0
        self.bar = comfy.utils.ProgressBar(total)
        self.previewer = _previewer(model) if model is not None else None

    def advance(self, steps: int = 1, denoised=None) -> None:
        """Advance the bar, with a preview of ``denoised`` (model space) if given. Raises ComfyUI's
        own exception if the user has interrupted.
        """
        comfy.model_management.throw_exception_if_processing_interrupted()
        self.done = min(self.total, self.done + steps)
        preview = None
        previewer = self.previewer
        if previewer is not None and denoised is not None:
            preview = forgiving(lambda: previewer.decode_latent_to_preview_image("JPEG", denoised), None)
            self.previewer = None if preview is None else previewer
        self.bar.update_absolute(self.done, self.total, preview)

    def step(self, state: dict) -> None:
        """A k-diffusion callback, for states of any dtype."""
        self.advance(denoised=state["denoised"].float())

    def sampler_step(self, i, denoised, x, total) -> None:
        """A callback of ComfyUI's samplers."""
        self.advance(denoised=denoised)


def _previewer(model):
    try:
        import latent_preview

        return latent_preview.get_previewer(model.load_device, model.get_model_object("latent_format"))
    except Exception:
        logging.debug("Semantic Edit: no latent preview", exc_info=True)
        return None


def say(text: str, node_id: str | None) -> None:
    """Log a line about a running node, and show it on the node in the editor."""
    logging.info("Semantic Edit, node %s: %s", node_id or "?", text)
    _send({"text": text}, node_id)


def tell(cls, report: dict) -> None:
    """Log a node's report (:func:`reports.make_report`) and its warnings, and show it on the node.

    js/view.js shows it; ComfyUI's progress text would repeat it.
    """
    node = node_id(cls)
    name = f"{cls.__name__} (node {node})" if node else cls.__name__
    says = ", ".join(item if isinstance(item, str) else item["text"] for item in report["says"])
    if says:
        logging.info("Semantic Edit, %s: %s", name, says)
    for item in report["warnings"]:
        logging.warning("Semantic Edit, %s: %s", name, item if isinstance(item, str) else item["text"])
    _send({key: report[key] for key in ("text", "says", "warnings")}, node)


def _send(message: dict, node_id: str | None) -> None:
    """Send to the editor that started the run, if there is one."""
    try:
        from server import PromptServer

        server = getattr(PromptServer, "instance", None)
        if node_id is not None and server is not None and server.client_id is not None:
            server.send_sync("semantic-edit.text", {"node": node_id, **message}, server.client_id)
    except Exception:
        logging.debug("Semantic Edit: the text could not be sent to the editor", exc_info=True)


def node_id(cls) -> str | None:
    """The id of the executing node; None if ``execute`` is called directly."""
    return cls.hidden.unique_id if cls.hidden is not None else None
