"""What the jobs do."""

from collections.abc import Callable
from typing import Any

from flask import current_app
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shop import Invoice


def send_reminders(session: Session, payload: dict[str, Any]) -> dict[str, Any]:
    unpaid = select(Invoice).where(~Invoice.is_paid, Invoice.reminders < payload["most"])
    sent = 0
    for invoice in session.scalars(unpaid):
        print(f"from {current_app.config['SENDER']}: please pay invoice {invoice.id}")
        invoice.reminders += 1
        sent += 1
    session.commit()
    return {"sent": sent}


def report(session: Session, payload: dict[str, Any]) -> dict[str, Any]:
    return {"cents": session.scalar(select(func.sum(Invoice.cents)).where(Invoice.is_paid)) or 0}


HANDLERS: dict[str, Callable[[Session, dict[str, Any]], dict[str, Any]]] = {
    "send_reminders": send_reminders,
    "report": report,
}
