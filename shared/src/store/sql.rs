//! The table of statements. Each is in a file of its own under `shared/sql/`, whose name says what the
//! statement does. Most have one text for both databases; the header of each pair says why it has two.

/// One statement in both dialects. The text is empty if a database needs no such statement.
#[derive(Clone, Copy, Debug)]
pub struct Sql {
    /// The path below `shared/sql/`, without its ending.
    pub name: &'static str,
    /// For PostgreSQL.
    pub postgres: &'static str,
    /// For SQLite.
    pub sqlite: &'static str,
}

macro_rules! text {
    (both $path:literal) => {
        Sql {
            name: $path,
            postgres: include_str!(concat!("../../sql/", $path, ".sql")),
            sqlite: include_str!(concat!("../../sql/", $path, ".sql")),
        }
    };
    // A list of columns that several statements share, then the statement's own clauses.
    (columns $columns:literal $path:literal) => {
        Sql {
            name: $path,
            postgres: text!(@columns $columns "" $path),
            sqlite: text!(@columns $columns "" $path),
        }
    };
    // The same, with a list for each database.
    (column_pair $columns:literal $path:literal) => {
        Sql {
            name: $path,
            postgres: text!(@columns $columns ".postgres" $path),
            sqlite: text!(@columns $columns ".sqlite" $path),
        }
    };
    (@columns $columns:literal $dialect:literal $path:literal) => {
        concat!(
            include_str!(concat!("../../sql/columns/", $columns, $dialect, ".sql")),
            include_str!(concat!("../../sql/", $path, ".sql"))
        )
    };
    (pair $path:literal) => {
        Sql {
            name: $path,
            postgres: include_str!(concat!("../../sql/", $path, ".postgres.sql")),
            sqlite: include_str!(concat!("../../sql/", $path, ".sqlite.sql")),
        }
    };
    (postgres $path:literal) => {
        Sql {
            name: $path,
            postgres: include_str!(concat!("../../sql/", $path, ".postgres.sql")),
            sqlite: "",
        }
    };
    (sqlite $path:literal) => {
        Sql {
            name: $path,
            postgres: "",
            sqlite: include_str!(concat!("../../sql/", $path, ".sqlite.sql")),
        }
    };
}

macro_rules! statements {
    ($all:ident: $($name:ident = $kind:ident $($path:literal)+;)+) => {
        $( pub(super) const $name: Sql = text!($kind $($path)+); )+
        /// Every statement of this database, for the test that prepares them all.
        pub const $all: &[Sql] = &[$($name),+];
    };
}

statements! { TENANT:
    READ_TENANT_SCHEMA = both "tenant/read_schema";
    READ_TENANT_VERSION = both "tenant/read_version";
    POLL = pair "tenant/poll";
    READ_UNARMED = pair "tenant/read_unarmed";
    ARM = pair "tenant/arm";
    QUARANTINE = pair "tenant/quarantine";
    READ_PLANNED = pair "tenant/read_planned";
    FIND_PLANNED_ROW = both "tenant/find_planned_row";
    REPLAN = pair "tenant/replan";
    CORRECT_FUTURE = both "tenant/correct_future";
    READ_DUE = pair "tenant/read_due";
    READ_WAITING = pair "tenant/read_waiting";
    DISPATCH = postgres "tenant/dispatch";
    DISPATCH_UNLOCKED = postgres "tenant/dispatch_unlocked";
    TAKE_TURN = sqlite "tenant/take_turn";
    ADVANCE = sqlite "tenant/advance";
    INSERT_OCCURRENCE = sqlite "tenant/insert_occurrence";
    RELEASE_WAITING = sqlite "tenant/release_waiting";
    MARK_PUBLISHED = pair "tenant/mark_published";
    READ_UNCLAIMED = pair "tenant/read_unclaimed";
    SWEEP = pair "tenant/sweep";
    TAKE_BACK_SWEEP = pair "tenant/take_back_sweep";
    CLAIM = pair "tenant/claim";
    READ_CLAIMED = sqlite "tenant/read_claimed";
    READ_JOB_TYPE = both "tenant/read_job_type";
    HEARTBEAT = pair "tenant/heartbeat";
    REPORT = pair "tenant/report";
    FINISH = pair "tenant/finish";
    FINISH_LAST = postgres "tenant/finish_last";
    INSERT_NEXT_ATTEMPT = sqlite "tenant/insert_next_attempt";
    READ_EXPIRED = pair "tenant/read_expired";
    READ_SERVER = postgres "tenant/read_server";
    READ_SUPERUSER = postgres "tenant/read_superuser";
    READ_TENANT_TABLES = both "tenant/read_tables";
    EXERCISE_RIGHTS = pair "tenant/exercise_rights";
    COUNT_CHANGES = postgres "tenant/count_changes";
    LIST_DUE = postgres "tenant/list_due";
    FIND_LOCK_HOLDERS = postgres "tenant/find_lock_holders";
    FIND_LOCK_SHARERS = postgres "tenant/find_lock_sharers";
    FIND_TABLE_LOCKS = postgres "tenant/find_table_locks";
    READ_SESSION = postgres "tenant/read_session";
    END_SESSIONS = postgres "tenant/end_sessions";
    READ_OWNER = both "tenant/read_owner";
    SET_OWNER = both "tenant/set_owner";
    REMOVE_OWNER = both "tenant/remove_owner";
    RAISE_JOB_IDS = postgres "tenant/raise_job_ids";
    FIND_LAGGING_JOB_IDS = postgres "tenant/find_lagging_job_ids";
    INSERT_JOB = both "tenant/insert_job";
    LIST_FROM = columns "small_execution" "tenant/list_from";
    LIST_JOBS = column_pair "job" "tenant/list_jobs";
    FIND_JOB = column_pair "job" "tenant/find_job";
    EDIT_JOB = both "tenant/edit_job";
    DELETE_JOB = both "tenant/delete_job";
    COUNT_OPEN = both "tenant/count_open";
    SUMMARIZE_JOBS = both "tenant/summarize_jobs";
    PLAN_LOAD = pair "tenant/plan_load";
    LIST_QUARANTINED = both "tenant/list_quarantined";
    RUN_JOB = both "tenant/run_job";
    RUN_AGAIN = both "tenant/run_again";
    CANCEL = both "tenant/cancel";
    LIST_EXECUTIONS = column_pair "execution" "tenant/list_executions";
    READ_HISTORY = columns "small_execution" "tenant/read_history";
    FIND_EXECUTION = column_pair "execution" "tenant/find_execution";
    FIND_LAST_ATTEMPT = column_pair "execution" "tenant/find_last_attempt";
    LIST_ATTEMPTS = column_pair "execution" "tenant/list_attempts";
    LIST_RUNS = column_pair "execution" "tenant/list_runs";
    FIND_RUNS_END = both "tenant/find_runs_end";
    LIST_WINDOW = column_pair "execution" "tenant/list_window";
    FIND_WINDOW_END = both "tenant/find_window_end";
    LIST_RECENT = both "tenant/list_recent";
    LIST_OPEN = column_pair "execution" "tenant/list_open";
    COUNT_DUE = both "tenant/count_due";
    READ_ALERT_STATE = pair "tenant/read_alert_state";
    MARK_FAILING = both "tenant/mark_failing";
    LOCK_JOB = postgres "tenant/lock_job";
    MARK_LATE = both "tenant/mark_late";
    FIND_NOTIFIER = pair "tenant/find_notifier";
    INSERT_NOTIFIER = both "tenant/insert_notifier";
    INSERT_NOTIFICATION = both "tenant/insert_notification";
    READ_UNSTARTED = pair "tenant/read_unstarted";
    LIST_LATE = both "tenant/list_late";
    NEXT_HISTORY = both "tenant/next_history";
    PRUNE = pair "tenant/prune";
    MARK_PRUNED = sqlite "tenant/mark_pruned";
}

statements! { CONTROL:
    READ_CONTROL_SCHEMA = both "control/read_schema";
    READ_CONTROL_VERSION = both "control/read_version";
    READ_CONTROL_TABLES = both "control/read_tables";
    EXERCISE_CONTROL_RIGHTS = both "control/exercise_rights";
    READ_PLACE = postgres "control/read_place";
    FIND_INSTALLATION = both "control/find_installation";
    SETTLE = both "control/settle";
    LIST_TENANTS = both "control/list_tenants";
    FIND_TENANT = both "control/find_tenant";
    INSERT_TENANT = both "control/insert_tenant";
    EDIT_TENANT = both "control/edit_tenant";
    DELETE_TENANT = both "control/delete_tenant";
    REGISTER_WORKER = both "control/register_worker";
    UNREGISTER_WORKER = both "control/unregister_worker";
    LIST_WORKERS = both "control/list_workers";
    REGISTER_PRODUCER = both "control/register_producer";
    UNREGISTER_PRODUCER = both "control/unregister_producer";
    LIST_PRODUCERS = both "control/list_producers";
    PAGE_TENANTS = both "control/page_tenants";
    RAISE_AUDIT_IDS = postgres "control/raise_audit_ids";
    FIND_LAGGING_AUDIT_IDS = postgres "control/find_lagging_audit_ids";
    INSERT_AUDIT = both "control/insert_audit";
    COMPLETE_AUDIT = both "control/complete_audit";
    LIST_AUDIT = both "control/list_audit";
    PRUNE_AUDIT = both "control/prune_audit";
    PRUNE_WORKERS = both "control/prune_workers";
    READ_ZONE_RULES = both "control/read_zone_rules";
    LIST_ZONE_RULES = both "control/list_zone_rules";
    INSERT_ZONE_RULES = both "control/insert_zone_rules";
    PRUNE_ZONE_RULES = both "control/prune_zone_rules";
}

statements! { SCHEMA:
    READ_RIGHTS = postgres "schema/read_rights";
    READ_CONNECTION_LIMIT = postgres "schema/read_connection_limit";
    FIND_TABLE_USERS = postgres "schema/find_table_users";
    FIND_TAKEN_NAMES = pair "schema/find_taken_names";
}
