"""The one exception that a user is meant to read, and the errors of a machine that is too small."""

import errno
import re

# A full disk, a quota that is used up, and a file that outgrows `ulimit -f`.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Full memory where PyTorch raises a plain RuntimeError: its CPU allocator, oneDNN, CUDA and MPS, cuBLAS and cuDNN.
NO_MEMORY = r"can't allocate memory|could not create a (memory object|primitive)$|out of memory|ALLOC_FAILED|bad_alloc"
MORE_MEMORY = "Run fewer jobs at once (--cores, cells_per_gpu), or end what else runs on the machine or its GPU"


class UserError(Exception):
    """Something that the user can mend. Its message says what is wrong, where, and what to write instead.

    A job that ends with it prints the message alone; any other exception prints its traceback.
    """


def no_room(error: BaseException) -> bool:
    """Whether an error says that the disk is full, or a quota reached."""
    # Libraries in Rust, such as safetensors, tell the number in their text alone.
    told = re.search(r"\(os error (\d+)\)", str(error))
    return (int(told[1]) if told else getattr(error, "errno", None)) in NO_ROOM


def room_needed(what: object, error: BaseException) -> UserError:
    """The error for ``what`` could not be written since there is ``no_room``."""
    return UserError(
        f"{what} can't be written: the disk is full, or a quota or limit is reached ({error}). All that is finished is "
        "kept. Make room, and run the same command again."
    )


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the memory of the machine or of its GPU is full."""
    # torch.OutOfMemoryError, by its name: not every job imports PyTorch.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and re.search(NO_MEMORY, str(error)) is not None
