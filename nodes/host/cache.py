"""A cache of the last few expensive results, so that changing an inexpensive widget does not
evaluate the model again.

ComfyUI caches whole nodes: after a change of any widget all of ``execute`` runs again. A key of
this cache is a :func:`.model_identity.fingerprint` of everything on which the expensive part
depends.
"""

from collections import OrderedDict


class Recent:
    """The last ``size`` results, by fingerprint."""

    def __init__(self, size: int = 4):
        self.size = size
        self.entries: OrderedDict = OrderedDict()

    def get(self, key, make):
        """The result cached for ``key``, else the result of ``make()``."""
        for number, (known, result) in self.entries.items():
            if known == key:
                self.entries.move_to_end(number)
                return result
        result = make()
        self.entries[object()] = (key, result)
        while len(self.entries) > self.size:
            self.entries.popitem(last=False)
        return result

    def clear(self) -> None:
        self.entries.clear()
