"""Storage of trajectories, written state by state: a tensor in the CPU's memory, or above a limit a
tensor mapped to a file.
"""

import errno
import math
import os
import shutil
import tempfile
import weakref

import comfy.model_management
import folder_paths
import torch

from ..core.errors import NodeError

GIB = 1024**3
CHUNK = 16 * 1024**2
PREFIX = "semantic_edit_"
UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, getattr(errno, "EOPNOTSUPP", errno.ENOSYS))
"""Errors of posix_fallocate on file systems that cannot reserve space."""


def affordable_bytes() -> float:
    """Maximum size of a trajectory in memory: half of the CPU's free memory."""
    return comfy.model_management.get_free_memory(torch.device("cpu")) / 2


class Trajectory:
    """A callable that stores states. Each call stores one state and returns its row of ``states``
    [count, ...], on the CPU (or on disk).

    Args:
        count: the number of states.
        dtype: of ``states``.
        backwards: the first state is the last row.
    """

    def __init__(self, count: int, dtype: torch.dtype, backwards: bool = False):
        self.count, self.dtype, self.backwards = count, dtype, backwards
        self.taken = 0
        self._states: torch.Tensor | None = None

    @property
    def states(self) -> torch.Tensor:
        """All states [count, ...]; rows that were not stored yet are undefined.

        Raises:
            RuntimeError: no state was stored, so their shape is unknown.
        """
        if self._states is None:
            raise RuntimeError("no state was stored in this trajectory yet")
        return self._states

    def __call__(self, state: torch.Tensor) -> torch.Tensor:
        if self._states is None:
            self._states = room_for((self.count, *state.shape), self.dtype)
        row = self._states[self.count - 1 - self.taken if self.backwards else self.taken]
        self.taken += 1
        return row.copy_(state)


def room_for(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """An empty tensor in memory, or in a file of ComfyUI's temp folder if there is too little
    memory. The file is removed with the tensor.

    Raises:
        NodeError: there is too little disk space as well, or the folder cannot be written.
    """
    size = math.prod(shape) * dtype.itemsize
    if size <= affordable_bytes():
        return torch.empty(shape, dtype=dtype)
    folder, path = folder_paths.get_temp_directory(), None
    try:
        os.makedirs(folder, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if size > 0.9 * free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        handle, path = tempfile.mkstemp(prefix=PREFIX, suffix=".states", dir=folder)
        try:
            _reserve(handle, size)
        finally:
            os.close(handle)
    except OSError as error:
        if path is not None:
            _remove(path)
        raise NodeError(_no_room(shape, size, folder, error)) from error
    states = torch.from_file(path, shared=True, size=math.prod(shape), dtype=dtype).view(shape)
    try:
        os.unlink(path)  # the mapping stays valid
    except OSError:  # Windows cannot remove a mapped file; ComfyUI empties its temp folder when it starts
        weakref.finalize(states, _remove, path)
    return states


def _reserve(handle: int, size: int) -> None:
    """Allocate the whole size of an open, empty file on the disk.

    The blocks of a sparse file are allocated when the mapping is written. If the disk is full then,
    the system terminates the process (SIGBUS).

    Raises:
        OSError: the disk space, or the user's quota, is too small.
    """
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(handle, 0, size)
            return
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
    zeros = memoryview(bytes(min(size, CHUNK)))
    os.lseek(handle, 0, os.SEEK_SET)
    while size > 0:
        size -= os.write(handle, zeros[:size])
    os.fsync(handle)


def _no_room(shape: tuple[int, ...], size: int, folder: str, error: OSError) -> str:
    memory = f"at most {affordable_bytes() / GIB:.1f} GiB of memory"
    if error.errno not in (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return (
            f"the trajectory of {shape[0]} states takes {size / GIB:.1f} GiB and cannot be written to ComfyUI's temp "
            f"folder {folder} ({error.strerror}); expected {memory} or a writable folder; make the folder writable, or "
            "use fewer steps."
        )
    free = 0.9 * shutil.disk_usage(folder).free / GIB
    return (
        f"the trajectory of {shape[0]} states takes {size / GIB:.1f} GiB; expected {memory} or {free:.1f} GiB on the "
        "disk of ComfyUI's temp folder; use fewer steps, a lower strength, or a smaller image."
    )


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass


def is_finite(states: torch.Tensor) -> bool:
    """Whether all values of a trajectory are finite, checked state by state."""
    return all(bool(torch.isfinite(state).all()) for state in states)
