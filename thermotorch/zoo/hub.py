"""Checkpoints on the Hugging Face Hub: `hf://owner/repository[@revision]`. Nothing else in the zoo needs a network."""

import re
from functools import cache
from pathlib import Path

SCHEME = "hf://"
_ADDRESS = re.compile(rf"{SCHEME}(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")


@cache
def download(address: str) -> Path:
    """The folder of a repository in the Hub's cache, fetched if needed.

    Within a process an address is resolved once, so that its card and its weights are of one revision.

    Args:
        address: `hf://owner/repository`, or `hf://owner/repository@revision` with a branch, tag or commit.

    Raises:
        ValueError: no such address can exist.
        FileNotFoundError: it is not in the cache and the Hub did not give it; the message says what to do.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise ValueError(f"checkpoint {address!r}: expected hf://owner/repository or hf://owner/repository@revision")
    repository, revision = match["repository"], match["revision"]
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=["*.json", "*.safetensors"]))
    except Exception as error:  # its classes differ between versions and HTTP libraries
        reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        at = f" --revision {revision}" if revision else ""
        raise FileNotFoundError(
            f"checkpoint {address!r} is not in the Hub's cache and could not be downloaded ({reason}). "
            f"Check the name and the network; or on a machine with a network run "
            f"`hf download {repository}{at} --local-dir FOLDER`, copy FOLDER here and give its path instead"
        ) from error
