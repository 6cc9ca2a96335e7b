//! Records which handler of this consumer handles each job type.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The job types with their handlers. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Types(Arc<Mutex<BTreeMap<String, Owner>>>);

/// Who handles a job type.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Owner {
    /// A handler in this program.
    Program,
    /// The handler command with this number.
    Command { number: usize, label: String },
}

impl Types {
    /// The types that this program handles itself.
    pub(super) fn of_program(types: Vec<String>) -> Types {
        let owned = types.into_iter().map(|job_type| (job_type, Owner::Program)).collect();
        Types(Arc::new(Mutex::new(owned)))
    }

    /// Replaces the types of a command.
    ///
    /// # Errors
    /// If another handler has one of them. Nothing changes then.
    pub(super) fn claim(
        &self,
        number: usize,
        label: &str,
        types: &BTreeSet<String>,
    ) -> Result<(), String> {
        let mut owners = self.owners();
        let is_its_own = |owner: &Owner| matches!(owner, Owner::Command { number: other, .. } if *other == number);
        for job_type in types {
            let other = match owners.get(job_type) {
                Some(owner) if is_its_own(owner) => continue,
                Some(Owner::Program) => "a handler in this program",
                Some(Owner::Command { label, .. }) => &format!("`{label}`"),
                None => continue,
            };
            return Err(format!(
                "job type `{job_type}` is claimed by both `{label}` and {other}; \
                 leave it out of one of them, or name the types to take in `types`"
            ));
        }
        owners.retain(|_, owner| !is_its_own(owner));
        let owner = Owner::Command { number, label: label.to_owned() };
        owners.extend(types.iter().map(|job_type| (job_type.clone(), owner.clone())));
        Ok(())
    }

    /// The number of the command that handles a type.
    pub(super) fn command_of(&self, job_type: &str) -> Option<usize> {
        match self.owners().get(job_type)? {
            Owner::Command { number, .. } => Some(*number),
            Owner::Program => None,
        }
    }

    /// Whether this program or a command handles a type.
    pub(super) fn is_known(&self, job_type: &str) -> bool {
        self.owners().contains_key(job_type)
    }

    fn owners(&self) -> MutexGuard<'_, BTreeMap<String, Owner>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_has_one_owner() {
        let set = |types: &[&str]| types.iter().map(|name| name.to_string()).collect();
        let types = Types::of_program(vec!["http".to_owned()]);
        assert_eq!(types.claim(0, "python a", &set(&["report", "mail"])), Ok(()));
        let problem = types.claim(1, "python b", &set(&["other", "mail"])).unwrap_err();
        assert!(
            problem.contains("`mail` is claimed by both `python b` and `python a`"),
            "{problem}"
        );
        assert!(!types.is_known("other"), "nothing changed");
        let problem = types.claim(1, "python b", &set(&["http"])).unwrap_err();
        assert!(problem.contains("a handler in this program"), "{problem}");
        assert_eq!(types.claim(0, "python a", &set(&["report"])), Ok(()));
        assert_eq!(types.claim(1, "python b", &set(&["mail"])), Ok(()));
        assert_eq!((types.command_of("report"), types.command_of("mail")), (Some(0), Some(1)));
        assert_eq!((types.command_of("http"), types.is_known("http")), (None, true));
    }
}
