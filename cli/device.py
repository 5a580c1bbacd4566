"""Print the device on which torch can compute: cuda, mps, xpu or cpu. A separate script, because
torch takes long to load.
"""

import torch

if __name__ == "__main__":
    places = {"cuda": torch.cuda, "mps": getattr(torch.backends, "mps", None), "xpu": getattr(torch, "xpu", None)}
    print(next((name for name, place in places.items() if place and place.is_available()), "cpu"))
