"""Moves tenants and schedules to Polychron, once. It may be run again.

python -m after.move [--disabled]
"""

import json
import os
import subprocess
import sys

from sqlalchemy import create_engine, make_url, text

from shop import Tenant, create_app

INSERT = """
    INSERT INTO polychron_job (name, job_type, schedule, payload, is_enabled)
    VALUES (:name, :kind, :schedule, :payload, :enabled)
    ON CONFLICT (name) DO NOTHING
"""


def polychron_url(url: str) -> str:
    """A URL of SQLAlchemy as Polychron writes it."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return f"sqlite://{os.path.abspath(parsed.database)}"
    return parsed.set(drivername="postgres").render_as_string(hide_password=False)


def move(tenant: Tenant, enabled: bool) -> int:
    """Moves one tenant. Returns the number of its jobs."""
    known = subprocess.run(["polychron", "tenant", "show", tenant.slug], capture_output=True)
    if known.returncode != 0:
        environment = {**os.environ, "TENANT_DATABASE_URL": polychron_url(tenant.database_url)}
        add = ["polychron", "tenant", "add", tenant.slug]
        subprocess.run(add, env=environment, stdout=subprocess.DEVNULL, check=True)
    with create_engine(tenant.database_url).begin() as connection:
        jobs = connection.execute(text("SELECT * FROM job")).mappings().all()
        for job in jobs:
            row = {
                "name": job["name"],
                "kind": job["kind"],
                "schedule": json.dumps({"every": f"{job['every_minutes']}m"}),
                "payload": job["payload"],
                "enabled": enabled and bool(job["enabled"]),
            }
            connection.execute(text(INSERT), row)
    return len(jobs)


if __name__ == "__main__":
    with create_app().app_context():
        for tenant in Tenant.query.filter_by(status="active"):
            count = move(tenant, enabled="--disabled" not in sys.argv)
            print(f"{tenant.slug}: {count} jobs")
