"""Handlers for Polychron.

    from polychron import Context, Fail, Retry, job

    @job("report")
    def report(payload: Report, ctx: Context) -> dict:
        with ctx.session() as db:
            ...
        return {"pages": 12}

A consumer runs them: `polychron up --handlers "python -m polychron app.jobs"`.
"""

from polychron._context import Context
from polychron._errors import Cancelled, Fail, PayloadError, Retry
from polychron._registry import job

__all__ = ["Cancelled", "Context", "Fail", "PayloadError", "Retry", "job"]
__version__ = "0.1.0"
