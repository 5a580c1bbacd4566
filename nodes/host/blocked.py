"""Outputs that cannot be computed in a run."""


def blocked_output(why: str):
    """A placeholder output: nodes connected to it do not run, and the first of them shows
    ``why``.
    """
    from comfy_execution.graph import ExecutionBlocker

    return ExecutionBlocker(why)
