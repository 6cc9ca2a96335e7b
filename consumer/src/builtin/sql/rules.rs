//! Decides what statements of a `sql` job may do in an SQLite file: everything within that file, and nothing
//! outside it. This is the second line of defence: the sandbox already prevents access to other files.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

/// Pragmas that affect at most this file and this session. Allowed with and without a value.
const PRAGMAS: &[&str] = &[
    "analysis_limit",
    "application_id",
    "auto_vacuum",
    "automatic_index",
    "busy_timeout",
    "cache_size",
    "case_sensitive_like",
    "cell_size_check",
    "checkpoint_fullfsync",
    "count_changes",
    "defer_foreign_keys",
    "encoding",
    "foreign_key_check",
    "foreign_key_list",
    "foreign_keys",
    "fullfsync",
    "ignore_check_constraints",
    "incremental_vacuum",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "journal_size_limit",
    "legacy_alter_table",
    "max_page_count",
    "optimize",
    "page_size",
    "query_only",
    "quick_check",
    "recursive_triggers",
    "reverse_unordered_selects",
    "secure_delete",
    "shrink_memory",
    "synchronous",
    "table_info",
    "table_list",
    "table_xinfo",
    "temp_store",
    "user_version",
    "wal_autocheckpoint",
    "wal_checkpoint",
];
/// Pragmas that are only queries, as long as they have no value.
const QUESTIONS: &[&str] = &[
    "collation_list",
    "compile_options",
    "data_version",
    "database_list",
    "freelist_count",
    "function_list",
    "hard_heap_limit",
    "journal_mode",
    "locking_mode",
    "mmap_size",
    "module_list",
    "page_count",
    "pragma_list",
    "schema_version",
    "soft_heap_limit",
    "threads",
    "trusted_schema",
    "writable_schema",
];

/// The authorizer: allows or refuses each action of each statement, and records the refusals.
#[derive(Clone, Default)]
pub(super) struct Rules {
    /// Whether a statement is running that was allowed when it was prepared.
    running: Arc<AtomicBool>,
    refused: Arc<Mutex<Option<String>>>,
}

impl Rules {
    /// Whether a statement may perform this action.
    pub(super) fn judge(&self, context: &AuthContext<'_>) -> Authorization {
        match self.refusal(&context.action) {
            None => Authorization::Allow,
            Some(what) => {
                let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
                refused.get_or_insert(what);
                Authorization::Deny
            }
        }
    }

    /// Records that a prepared statement starts to run, or has ended.
    pub(super) fn set_running(&self, running: bool) {
        self.running.store(running, Ordering::Relaxed);
    }

    /// What was refused since the last call.
    pub(super) fn take_refusal(&self) -> Option<String> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn refusal(&self, action: &AuthAction<'_>) -> Option<String> {
        match action {
            // VACUUM attaches a nameless temporary file while it runs.
            AuthAction::Attach { filename: "" } if self.running.load(Ordering::Relaxed) => None,
            AuthAction::Attach { .. } => Some("ATTACH and VACUUM INTO".to_owned()),
            AuthAction::Detach { .. } => Some("DETACH".to_owned()),
            AuthAction::Function { function_name } => {
                let forbidden = ["load_extension", "fts3_tokenizer"];
                let is_forbidden =
                    forbidden.iter().any(|name| function_name.eq_ignore_ascii_case(name));
                is_forbidden.then(|| format!("the function {function_name}"))
            }
            AuthAction::Pragma { pragma_name, pragma_value } => {
                let among = |names: &[&str]| {
                    names.iter().any(|name| pragma_name.eq_ignore_ascii_case(name))
                };
                let allowed = among(PRAGMAS) || pragma_value.is_none() && among(QUESTIONS);
                let with_value = if among(QUESTIONS) { " with a value" } else { "" };
                (!allowed).then(|| format!("PRAGMA {pragma_name}{with_value}"))
            }
            // ATTACH of an expression, and whatever SQLite may add.
            AuthAction::Unknown { .. } => Some("ATTACH of an expression".to_owned()),
            _ => None,
        }
    }
}
