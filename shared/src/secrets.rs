//! Secrets that payloads name instead of holding: `{"$secret": "SMTP_PASSWORD"}`.
//!
//! The operator defines the secrets in one file: each with its source and the tenants that may use it. They
//! are read when a handler starts, so a rotated secret needs no restart. They are never stored in a row, and
//! a [`Redactor`] removes them from everything that the handler reports.

mod encodings;
mod redactor;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

pub use redactor::Redactor;

use crate::{environment, private_file};

/// The field that refers to a secret in a payload.
const MARKER: &str = "$secret";
/// The shortest secret. The redactor would find shorter ones in unrelated texts.
const BYTES_MIN: usize = 8;
/// The longest secret.
const BYTES_MAX: usize = 16 * 1024;

/// The operator's secrets, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Secrets(BTreeMap<String, Secret>);

/// A secret's source, and the tenants that may use it.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Secret {
    /// A variable of the process's environment.
    environment: Option<String>,
    /// A file that contains only the secret; surrounding white space is removed.
    file: Option<PathBuf>,
    /// Slugs of the tenants that may use it; `*` means all.
    tenants: Vec<String>,
}

/// A payload with its secrets filled in, and the redactor for them.
#[derive(Clone)]
pub struct Resolved {
    /// The payload as JSON text, only for the handler.
    pub payload: String,
    /// Redacts the secrets in this payload.
    pub redactor: Redactor,
}

impl Secrets {
    /// Reads the operator's file.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn read(file: &Path) -> Result<Secrets, String> {
        let text =
            private_file::read(file).map_err(|error| format!("names a file that {error}"))?;
        Secrets::parse(&text)
    }

    /// Whether a secret's source is this environment variable.
    pub(crate) fn reads_variable(&self, name: &str) -> bool {
        self.0.values().any(|secret| secret.environment.as_deref() == Some(name))
    }

    pub(crate) fn parse(text: &str) -> Result<Secrets, String> {
        // The parser's error would quote the file, in which a secret may be in the wrong place.
        let secrets: BTreeMap<String, Secret> = toml::from_str(text).map_err(|_| {
            "names a file that is malformed: it must have a table for each secret, such as \
             [SMTP_PASSWORD], with `file` or `environment`, and `tenants`, a list of slugs"
                .to_owned()
        })?;
        for (name, secret) in &secrets {
            if secret.environment.is_some() == secret.file.is_some() {
                return Err(format!(
                    "names a file whose [{name}] needs either `environment` or `file`"
                ));
            }
        }
        Ok(Secrets(secrets))
    }

    /// The secrets whose file cannot be used, each with the reason.
    pub fn unfit(&self) -> Vec<(String, String)> {
        let reason = |(name, secret): (&String, &Secret)| {
            let file = secret.file.as_deref()?;
            let unfit = private_file::read(file).err()?;
            Some((name.clone(), format!("{}, which {unfit}", file.display())))
        };
        self.0.iter().filter_map(reason).collect()
    }

    /// Fills a tenant's secrets into a payload.
    ///
    /// # Errors
    /// A sentence that names the field of the payload. It does not tell whether a secret exists that the
    /// tenant may not use.
    pub fn resolve(&self, tenant: &str, payload: &str) -> Result<Resolved, String> {
        if !payload.contains(MARKER) {
            return Ok(Resolved { payload: payload.to_owned(), redactor: Redactor::default() });
        }
        let Ok(mut value) = serde_json::from_str::<Value>(payload) else {
            // The handler reports that the payload is invalid.
            return Ok(Resolved { payload: payload.to_owned(), redactor: Redactor::default() });
        };
        let mut found = Vec::new();
        self.fill(tenant, &mut value, "payload", &mut found)?;
        Ok(Resolved { payload: value.to_string(), redactor: Redactor::new(&found) })
    }

    fn fill(
        &self,
        tenant: &str,
        value: &mut Value,
        place: &str,
        found: &mut Vec<String>,
    ) -> Result<(), String> {
        match value {
            Value::Object(fields) if fields.len() == 1 && fields.contains_key(MARKER) => {
                let name = fields[MARKER].as_str().unwrap_or_default();
                let secret = self.get(tenant, name).map_err(|why| format!("{place}: {why}"))?;
                found.push(secret.clone());
                *value = Value::String(secret);
            }
            Value::Object(fields) => {
                for (name, field) in fields {
                    self.fill(tenant, field, &format!("{place}.{name}"), found)?;
                }
            }
            Value::Array(values) => {
                for (at, element) in values.iter_mut().enumerate() {
                    self.fill(tenant, element, &format!("{place}[{at}]"), found)?;
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        Ok(())
    }

    fn get(&self, tenant: &str, name: &str) -> Result<String, String> {
        let allowed =
            |secret: &&Secret| secret.tenants.iter().any(|slug| slug == tenant || slug == "*");
        let secret = self.0.get(name).filter(allowed).ok_or_else(|| {
            format!(
                "this tenant has no secret `{name}`; the operator names them in POLYCHRON_SECRETS"
            )
        })?;
        let text = match (&secret.environment, &secret.file) {
            (Some(variable), _) => environment::variable(variable),
            (_, Some(file)) => private_file::read(file).ok(),
            (None, None) => None,
        };
        let text = text.map(|text| text.trim().to_owned()).unwrap_or_default();
        if (BYTES_MIN..=BYTES_MAX).contains(&text.len()) {
            Ok(text)
        } else {
            Err(format!(
                "the secret `{name}` cannot be read where the operator says it is, is in a file that \
                 everybody can read, or has not {BYTES_MIN} to {BYTES_MAX} bytes"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::os::unix::fs::PermissionsExt as _;

    fn secrets(folder: &Path) -> Secrets {
        private_file::create(folder).unwrap();
        std::fs::write(folder, "hunter2-hunter2\n").unwrap();
        let text = format!(
            "[SMTP]\nfile = \"{0}\"\ntenants = [\"acme\"]\n[ALL]\nfile = \"{0}\"\ntenants = [\"*\"]\n",
            folder.display()
        );
        Secrets::parse(&text).unwrap()
    }

    #[test]
    fn a_reference_is_resolved_for_allowed_tenants_and_redacted() {
        let folder = testkit::Folder::new();
        let file = folder.path("secret");
        let secrets = secrets(&file);
        let payload = json!({"auth": [{"$secret": "SMTP"}], "to": "ann"}).to_string();
        let Resolved { payload, redactor } = secrets.resolve("acme", &payload).unwrap();
        assert_eq!(payload, r#"{"auth":["hunter2-hunter2"],"to":"ann"}"#);
        assert_eq!(
            redactor.redact("login with hunter2-hunter2 failed"),
            "login with [secret] failed"
        );
        assert!(!format!("{redactor:?}").contains("hunter2"));

        let (theirs, nobodys) = (json!([{"$secret": "SMTP"}]), json!([{"$secret": "NONE"}]));
        let refused = |payload: &Value| secrets.resolve("globex", &payload.to_string()).err();
        let refusal = refused(&theirs).unwrap();
        assert!(refusal.starts_with("payload[0]: this tenant has no secret `SMTP`"), "{refusal}");
        assert_eq!(refused(&nobodys).unwrap(), refusal.replace("SMTP", "NONE"));
        assert!(secrets.resolve("globex", r#"{"$secret":"ALL"}"#).is_ok());
        // A rotated secret in a file that everybody can read is not used.
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let refusal = secrets.resolve("globex", r#"{"$secret":"ALL"}"#).err().unwrap();
        assert!(refusal.contains("everybody can read"), "{refusal}");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        // Anything but exactly one name is not a reference.
        assert!(
            secrets.resolve("globex", r#"{"$secret":"SMTP","x":1}"#).unwrap().redactor.longest()
                == 0
        );
    }

    #[test]
    fn a_file_with_missing_or_unknown_settings_is_refused() {
        for (text, problem) in [
            ("[A]\ntenants = []", "either"),
            ("[A]\nfile = \"x\"\nenvironment = \"y\"\ntenants = []", "either"),
            ("[A]\nfile = \"x\"\ntenant = \"acme\"", "malformed"),
            ("A = \"secret\"", "malformed"),
        ] {
            let refusal = Secrets::parse(text).unwrap_err();
            assert!(refusal.contains(problem) && !refusal.contains("secret\""), "{refusal}");
        }
    }
}
