"""The error for inputs that a user can correct."""


class NodeError(ValueError):
    """An input that a user can correct. The message states what was given, what was expected and
    what to do, without the node's name.

    The name is put in front by ``input_checks.checked``, which wraps every node.
    """
