"""The error that a user can mend."""


class NodeError(ValueError):
    """What came, what was expected, and what to do, in one text without the name of the node that
    it is about.

    The node's name is put in front in one place, ``input_checks.checked``, which wraps every node.
    """
