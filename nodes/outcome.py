"""What a node hands back: the one shape that every face returns."""

from collections.abc import Callable
from dataclasses import dataclass

from comfy_api.latest import io

from .host import previews, progress


@dataclass(frozen=True)
class Outcome:
    """The outputs of a run and what the editor shows of it.

    ``values`` are the outputs in the schema's order. ``report`` is
        :func:`host.reports.make_report`'s. ``preview`` makes
    the node's view, given the node's class; it is asked after the report has been told.
    """

    values: tuple
    report: dict | None = None
    preview: Callable[[type[io.ComfyNode]], dict] | None = None

    def tell(self, cls: type[io.ComfyNode]) -> io.NodeOutput:
        """Log and show the report, make the view, and give ComfyUI the outputs with both."""
        if self.report is None:
            return io.NodeOutput(*self.values)
        progress.tell(cls, self.report)
        view = {} if self.preview is None else self.preview(cls)
        return io.NodeOutput(*self.values, ui=previews.to_editor(self.report, view))
