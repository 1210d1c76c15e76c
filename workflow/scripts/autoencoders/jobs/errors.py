"""The exception whose message is for the user, and errors of a full disk or full memory."""

import errno
import re

# A full disk, a used-up quota, and a file larger than `ulimit -f`.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Where PyTorch raises a plain RuntimeError: its CPU allocator, oneDNN, CUDA and MPS, cuBLAS, cuSOLVER and cuDNN.
NO_MEMORY = "|".join(
    (
        r"can't allocate memory|could not create a (memory object|primitive)$|out of memory|bad_alloc",
        # cuDNN 9 says HOST_ALLOCATION_FAILED and DEVICE_ALLOCATION_FAILED; the others say ALLOC_FAILED.
        r"ALLOC(ATION)?_FAILED",
        # cuDNN found no algorithm whose workspace fits.
        r"(GET|FIND) was unable to find an engine",
        # A library's handle, the first thing that it allocates. PyTorch names the call, but not cuDNN's: cuDNN says
        # this of no call but the one that creates its handle.
        r"(NOT_INITIALIZED|INTERNAL_ERROR),? when calling `(cublas|cusolverDn)Create\(|CUDNN_STATUS_NOT_INITIALIZED",
    )
)
MORE_MEMORY = (
    "Run fewer jobs at once (--cores, cells_per_gpu), or stop other programs on the machine or its GPU (`nvidia-smi` "
    "lists them)"
)


class UserError(Exception):
    """An error that the user can correct. Its message says what is wrong, where, and what to write instead.

    A job that ends with it prints only the message; any other exception prints its traceback.
    """


def no_room(error: BaseException) -> bool:
    """Whether an error means that the disk is full or a quota is reached."""
    # Libraries in Rust, such as safetensors, have the number only in their message.
    found = re.search(r"\(os error (\d+)\)", str(error))
    return (int(found[1]) if found else getattr(error, "errno", None)) in NO_ROOM


def room_needed(what: object, error: BaseException) -> UserError:
    """The error to raise when ``what`` can't be written because there is ``no_room``."""
    return UserError(
        f"{what} can't be written: the disk is full, or a quota or limit is reached ({error}). Finished "
        "results are kept. Make room, and run the same command again."
    )


def out_of_memory(error: BaseException) -> bool:
    """Whether an error means that the memory of the machine or of its GPU is full."""
    # torch.OutOfMemoryError is recognised by its name: not every job imports PyTorch.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and re.search(NO_MEMORY, str(error)) is not None
