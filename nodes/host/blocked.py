"""Outputs that cannot be given in a run."""


def blocked_output(why: str):
    """In an output's place: nodes connected to it do not run, and the first of them shows ``why``."""
    from comfy_execution.graph import ExecutionBlocker

    return ExecutionBlocker(why)
