"""A handler that does nothing, with the SDK: python -m polychron noop_jobs."""

from polychron import job


@job("noop")
def noop() -> None:
    pass
