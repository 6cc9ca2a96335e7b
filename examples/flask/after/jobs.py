"""What the jobs do, as handlers of Polychron.

polychron consumer --handlers "python -m polychron after.jobs --flask shop:create_app"
"""

from dataclasses import dataclass

from flask import current_app
from polychron import Context, job
from sqlalchemy import func, select

from shop import Invoice


@dataclass
class Reminders:
    most: int


@job("send_reminders")
def send_reminders(payload: Reminders, ctx: Context) -> dict[str, int]:
    with ctx.session() as session:
        unpaid = select(Invoice).where(~Invoice.is_paid, Invoice.reminders < payload.most)
        invoices = session.scalars(unpaid).all()
        for number, invoice in enumerate(invoices, 1):
            print(f"from {current_app.config['SENDER']}: please pay invoice {invoice.id}")
            invoice.reminders += 1
            session.commit()  # a retry goes on behind it
            ctx.progress(number, len(invoices), f"invoice {invoice.id}")
    return {"sent": len(invoices)}


@job("report")
def report(ctx: Context) -> dict[str, int]:
    with ctx.session() as session:
        return {"cents": session.scalar(select(func.sum(Invoice.cents)).where(Invoice.is_paid)) or 0}
