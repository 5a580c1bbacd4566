"""The result of a node: one type that every face returns."""

from collections.abc import Callable
from dataclasses import dataclass

from comfy_api.latest import io

from .host import previews, progress


@dataclass(frozen=True)
class Outcome:
    """The outputs of a run, with the report and the preview for the editor.

    Attributes:
        values: the outputs in the schema's order.
        report: from :func:`host.reports.make_report`; None for nodes without one.
        preview: makes the preview, given the node's class; called after the report was sent.
    """

    values: tuple
    report: dict | None = None
    preview: Callable[[type[io.ComfyNode]], dict] | None = None

    def tell(self, cls: type[io.ComfyNode]) -> io.NodeOutput:
        """Log and show the report, make the preview, and return the outputs with both to
        ComfyUI.
        """
        if self.report is None:
            return io.NodeOutput(*self.values)
        progress.tell(cls, self.report)
        view = {} if self.preview is None else self.preview(cls)
        return io.NodeOutput(*self.values, ui=previews.to_editor(self.report, view))
