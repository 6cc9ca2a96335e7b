//! Secrets that payloads name instead of holding: `{"$secret": "SMTP_PASSWORD"}`.
//!
//! The operator says in one file which secrets there are, where each comes from, and which tenants
//! may use it. They are read when a handler starts, so that a rotated one is seen without a
//! restart; they never stand in a row, and a [`Redactor`] keeps them out of whatever comes back.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

use crate::config;

/// What stands in a payload for a secret.
const MARKER: &str = "$secret";
/// What is shown instead of one.
const SHOWN: &str = "[secret]";
/// A shorter one would be found in texts that have nothing to do with it.
const BYTES_MIN: usize = 8;
/// The longest secret.
const BYTES_MAX: usize = 16 * 1024;

/// The secrets there are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Secrets(BTreeMap<String, Secret>);

/// Where one comes from, and whose it is.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Secret {
    /// A variable of the process's environment.
    environment: Option<String>,
    /// A file, read whole; white space around it doesn't count.
    file: Option<PathBuf>,
    /// Slugs of the tenants that may use it; `*` means all.
    tenants: Vec<String>,
}

/// A payload whose secrets stand in their places, and what keeps them from being shown.
#[derive(Clone)]
pub struct Resolved {
    /// JSON text; only for the handler.
    pub payload: String,
    /// Knows what must not be shown.
    pub redactor: Redactor,
}

impl Secrets {
    /// Reads the operator's file.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub fn read(file: &Path) -> Result<Secrets, String> {
        let text = std::fs::read_to_string(file)
            .map_err(|error| format!("names a file that cannot be read: {error}"))?;
        Secrets::parse(&text)
    }

    fn parse(text: &str) -> Result<Secrets, String> {
        // The reader's own complaint would quote what may be a secret in the wrong place.
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

    /// Puts a tenant's secrets into a payload.
    ///
    /// # Errors
    /// A sentence that names the place in the payload, but nothing that the tenant may not know:
    /// what isn't there and what isn't the tenant's look alike.
    pub fn resolve(&self, tenant: &str, payload: &str) -> Result<Resolved, String> {
        if !payload.contains(MARKER) {
            return Ok(Resolved { payload: payload.to_owned(), redactor: Redactor::default() });
        }
        let Ok(mut value) = serde_json::from_str::<Value>(payload) else {
            // Whoever reads the payload says what is wrong with it.
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
            (Some(variable), _) => config::environment(variable),
            (_, Some(file)) => std::fs::read_to_string(file).ok(),
            (None, None) => None,
        };
        let text = text.map(|text| text.trim().to_owned()).unwrap_or_default();
        if (BYTES_MIN..=BYTES_MAX).contains(&text.len()) {
            Ok(text)
        } else {
            Err(format!(
                "the secret `{name}` cannot be read where the operator says it is, or has not \
                 {BYTES_MIN} to {BYTES_MAX} bytes"
            ))
        }
    }
}

/// Takes an execution's secrets out of what is stored or shown. Clones know the same.
#[derive(Clone, Default)]
pub struct Redactor(Arc<[String]>);

impl Redactor {
    /// Knows each secret as it is, and as JSON, a URL or base64 would write it; of one with
    /// several lines, each line, too.
    pub fn new(secrets: &[String]) -> Redactor {
        let mut forms: Vec<String> = secrets
            .iter()
            .flat_map(|secret| {
                let lines = secret.lines().map(str::trim).filter(|line| line.len() >= BYTES_MIN);
                lines.chain([secret.as_str()]).flat_map(forms).collect::<Vec<_>>()
            })
            .collect();
        // The longest first: one may be a part of another.
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        forms.dedup();
        Redactor(forms.into())
    }

    /// The text without secrets.
    pub fn redact(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, form| text.replace(form, SHOWN))
    }

    /// The JSON without secrets, in names as well as in values.
    pub fn redact_json(&self, value: Value) -> Value {
        if self.0.is_empty() {
            return value;
        }
        match value {
            Value::String(text) => Value::String(self.redact(&text)),
            Value::Array(values) => {
                values.into_iter().map(|value| self.redact_json(value)).collect()
            }
            Value::Object(fields) => fields
                .into_iter()
                .map(|(name, value)| (self.redact(&name), self.redact_json(value)))
                .collect(),
            Value::Number(number) if self.occurs_in(&number.to_string()) => SHOWN.into(),
            Value::Null | Value::Bool(_) | Value::Number(_) => value,
        }
    }

    /// Whether the text holds a secret.
    pub fn occurs_in(&self, text: &str) -> bool {
        self.0.iter().any(|form| text.contains(form))
    }

    /// The length of the longest form, in bytes; 0 without secrets.
    pub(crate) fn longest(&self) -> usize {
        self.0.first().map_or(0, String::len)
    }

    /// Where text may be cut at or after `at` without leaving the end of a secret behind.
    pub(crate) fn cut_after(&self, text: &str, at: usize) -> usize {
        let mut cut = text.ceil_char_boundary(at);
        for form in self.0.iter() {
            let from = text.floor_char_boundary(at.saturating_sub(form.len()));
            for (start, _) in text[from..].match_indices(form.as_str()) {
                let (start, end) = (from + start, from + start + form.len());
                if start < at && end > cut {
                    cut = end;
                }
            }
        }
        cut
    }
}

/// It shows how much it knows, never what.
impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redactor({} forms)", self.0.len())
    }
}

/// How a secret may be written.
fn forms(secret: &str) -> [String; 4] {
    let json = Value::from(secret).to_string();
    let url = secret.bytes().fold(String::new(), |mut url, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                url.push(byte.into());
            }
            _ => url += &format!("%{byte:02X}"),
        }
        url
    });
    // Without its end, which depends on what follows.
    let base64 = STANDARD.encode(secret);
    let base64 = base64[..base64.len() - 4].to_owned();
    [secret.to_owned(), json[1..json.len() - 1].to_owned(), url, base64]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn secrets(folder: &Path) -> Secrets {
        std::fs::write(folder, "hunter2-hunter2\n").unwrap();
        let text = format!(
            "[SMTP]\nfile = \"{0}\"\ntenants = [\"acme\"]\n[ALL]\nfile = \"{0}\"\ntenants = [\"*\"]\n",
            folder.display()
        );
        Secrets::parse(&text).unwrap()
    }

    #[test]
    fn a_reference_is_resolved_for_those_who_may_and_shown_to_nobody() {
        let file = std::env::temp_dir().join("polychron-secrets-test-resolve");
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
        // Anything but exactly one name is no reference.
        assert!(
            secrets.resolve("globex", r#"{"$secret":"SMTP","x":1}"#).unwrap().redactor.0.is_empty()
        );
    }

    #[test]
    fn every_way_to_write_a_secret_is_known() {
        let redactor = Redactor::new(&["p\"ss wörd/1".to_owned()]);
        for text in ["p\"ss wörd/1", r#"p\"ss wörd/1"#, "p%22ss%20w%C3%B6rd%2F1"] {
            assert_eq!(redactor.redact(&format!("<{text}>")), "<[secret]>");
        }
        let encoded = STANDARD.encode("p\"ss wörd/1");
        assert!(!redactor.redact(&encoded).contains(&encoded[..12]), "{encoded}");
        let json = json!({"p\"ss wörd/1": ["x p\"ss wörd/1"]});
        assert_eq!(redactor.redact_json(json), json!({"[secret]": ["x [secret]"]}));
        let key = Redactor::new(&["-----BEGIN-----\nabcdefghij\n-----END-----".to_owned()]);
        assert_eq!(key.redact("abcdefghij"), "[secret]");
    }

    #[test]
    fn a_file_that_says_too_little_or_too_much_is_refused() {
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
