"""Checkpoints on the Hugging Face Hub: `hf://owner/repository[@revision]`. Nothing else in the zoo needs a network."""

import re
from functools import cache
from pathlib import Path

SCHEME = "hf://"
_ADDRESS = re.compile(rf"{SCHEME}(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")


@cache
def download(address: str) -> Path:
    """Return the folder of a repository in the Hub's cache, after a download if needed.

    A process resolves each address once, so that a card and its weights are of one revision.

    Args:
        address: `hf://owner/repository`, or `hf://owner/repository@revision` with a branch, tag or commit.

    Raises:
        ValueError: a malformed address.
        FileNotFoundError: a repository that is neither in the cache nor available from the Hub; the message suggests
            a remedy.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise ValueError(f"checkpoint {address!r}: expected hf://owner/repository or hf://owner/repository@revision")
    repository, revision = match["repository"], match["revision"]
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=["*.json", "*.safetensors"]))
    except Exception as error:  # the classes of its errors differ between versions and HTTP libraries
        reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        at = f" --revision {revision}" if revision else ""
        raise FileNotFoundError(
            f"checkpoint {address!r} is not in the Hub's cache and could not be downloaded ({reason}). "
            f"Check the name and the network; or on a machine with a network run "
            f"`hf download {repository}{at} --local-dir FOLDER`, copy FOLDER here and give its path instead"
        ) from error
