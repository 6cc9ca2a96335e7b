//! The faults of the mix.

use rustix::process::Signal;
use shared::store::{Guarded, TenantEdit};
use shared::tenant::TenantStatus;
use testkit::{
    eventually, execute, management_answers, postgres_server, rabbitmqctl, restart_postgres,
};

use super::{Cure, Mix, PROXIED, TENANTS};

const PRODUCER_POINTS: [&str; 3] = ["before_dispatch", "after_dispatch", "after_confirm"];
const CONSUMER_POINTS: [&str; 4] = ["before_claim", "after_claim", "after_effect", "after_result"];

impl Mix {
    /// One fault, or one action of an operator.
    pub(super) async fn fault(&mut self) {
        self.faults += 1;
        match self.below(24) {
            0..=6 => self.meddle_with_a_process(),
            7 => self.broker_restarts().await,
            8 => {
                let arguments = ["close_all_connections", "-p", &self.vhost(), "chaos"];
                rabbitmqctl(&arguments).await;
                self.note("connections to the broker are closed");
            }
            9 => self.queue_is_lost("/contents").await,
            10 => self.queue_is_lost("").await,
            11 | 12 => {
                let how = self.spoil(&self.broker);
                self.note(&format!("the path to the broker: {how}"));
                self.cure_later(15.0, Cure::Broker);
            }
            13..=15 => {
                let which = self.below(PROXIED);
                let how = self.spoil(&self.proxies[which]);
                self.note(&format!("the path to t{which}: {how}"));
                self.cure_later(20.0, Cure::Tenant(which));
            }
            16 => {
                let ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                             WHERE application_name = 'polychron' AND pid <> pg_backend_pid()";
                execute(&postgres_server(), ended).await;
                self.note("sessions are ended");
            }
            17 => {
                restart_postgres().await;
                self.note("PostgreSQL was killed and is up again");
            }
            18 => {
                let which = self.below(self.system.tenants.len());
                self.suspend(which, true).await;
                self.cure_later(15.0, Cure::Resume(which));
            }
            19 => self.tables_are_locked(),
            _ => self.people_act().await,
        }
    }

    fn meddle_with_a_process(&mut self) {
        let seat = self.below(self.seats.len());
        let running = self.seats[seat].process.as_mut().is_some_and(|it| !it.is_over());
        if self.seats[seat].paused {
            return;
        }
        match (running, self.below(4)) {
            (false, _) => {
                let points: &[&str] = match self.seats[seat].is_producer {
                    true => &PRODUCER_POINTS,
                    false => &CONSUMER_POINTS,
                };
                let point = points[self.below(points.len())];
                let armed = format!("{point}:abort@{}", 1 + self.below(20));
                self.start(seat, Some(&armed));
            }
            (true, 0) => {
                self.signal(seat, Signal::STOP);
                self.seats[seat].paused = true;
                self.note(&format!("seat {seat} stands still"));
                self.cure_later(12.0, Cure::Continue(seat));
            }
            (true, 1) => {
                self.signal(seat, Signal::TERM);
                self.note(&format!("seat {seat} is asked to stop"));
                self.cure_later(8.0, Cure::Start(seat));
            }
            (true, _) => {
                self.seats[seat].process.take().into_iter().for_each(|process| process.kill());
                self.note(&format!("seat {seat} is killed"));
                self.cure_later(8.0, Cure::Start(seat));
            }
        }
    }

    fn signal(&self, seat: usize, signal: Signal) {
        if let Some(process) = &self.seats[seat].process {
            process.signal(signal);
        }
    }

    pub(super) fn go_on(&mut self, seat: usize) {
        self.signal(seat, Signal::CONT);
        self.seats[seat].paused = false;
        self.note(&format!("seat {seat} goes on"));
    }

    fn vhost(&self) -> String {
        self.system.amqp_url.rsplit_once('/').unwrap().1.to_owned()
    }

    async fn broker_restarts(&self) {
        rabbitmqctl(&["stop_app"]).await;
        rabbitmqctl(&["start_app"]).await;
        self.note("the broker was stopped and is up again");
    }

    async fn queue_is_lost(&self, part: &str) {
        let path = format!("/api/queues/{}/polychron.jobs.default{part}", self.vhost());
        // Right after a restart the management API may be unavailable; then skip this fault.
        let lost = management_answers("DELETE", &path, "").await;
        self.note(&format!("the queue{part} is deleted: {lost}"));
    }

    fn tables_are_locked(&self) {
        let which = self.below(TENANTS.0);
        let url = self.system.tenants[which].url.clone();
        tokio::spawn(async move {
            let lock = "BEGIN; LOCK TABLE polychron_job_execution IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(4); COMMIT";
            // The server may be killed meanwhile.
            let _ = testkit::try_execute(&url, lock).await;
        });
        self.note(&format!("the tables of t{which} are locked"));
    }

    pub(super) async fn suspend(&mut self, which: usize, suspended: bool) {
        let status = if suspended { TenantStatus::Suspended } else { TenantStatus::Active };
        let edit = TenantEdit { status: Some(status), ..TenantEdit::default() };
        let (control, slug) = (&self.system.control, format!("t{which}"));
        // PostgreSQL may just have been killed.
        let edited = eventually("the control database answers", || async {
            let listed = control.find_tenant(&slug).await.ok()??;
            control.edit_tenant(listed.id, &edit, control.now().await.ok()?).await.ok()
        })
        .await;
        assert_eq!(edited, Guarded::Applied);
        self.note(&format!("t{which} is {status}"));
    }
}
