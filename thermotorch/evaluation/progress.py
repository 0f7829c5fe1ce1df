"""A progress bar on the terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[..., None]]:
    """Open a bar, and give the function `progress(done, total, description=title)` that advances it.

    The clock restarts when the description changes.
    """
    with tqdm(desc=title, bar_format="{l_bar}{bar}| {elapsed}<{remaining}") as bar:

        def progress(done: int, total: int, description: str = title) -> None:
            if description != bar.desc.removesuffix(": "):
                bar.reset(total)
                bar.set_description(description, refresh=False)
            bar.total, bar.n = total, done
            bar.refresh()

        yield progress
