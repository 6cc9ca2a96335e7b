//! Parses the values of settings. Each error completes a sentence that begins with the value.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::Network;

pub(super) fn duration_between(
    text: &str,
    seconds_min: u64,
    seconds_max: u64,
) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|_| "is not a duration such as 90s, 15m or 1h 30m".to_owned())?;
    let (min, max) = (Duration::from_secs(seconds_min), Duration::from_secs(seconds_max));
    if duration < min || duration > max {
        let show = humantime::format_duration;
        return Err(format!("is not between {} and {}", show(min), show(max)));
    }
    Ok(duration)
}

pub(super) fn retained_number(text: &str) -> Result<Option<i64>, String> {
    match text {
        "off" => Ok(None),
        text => whole_number(text, 100, 1_000_000_000).map(|number| Some(number as i64)),
    }
}

pub(super) fn connections(text: &str) -> Result<Option<usize>, String> {
    match text {
        "auto" => Ok(None),
        text => whole_number(text, 1, 10_000).map(Some),
    }
}

pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("is neither on nor off".to_owned()),
    }
}

pub(super) fn whole_number(text: &str, min: usize, max: usize) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| format!("is not a whole number from {min} to {max}"))
}

pub(super) fn queues(text: &str) -> Result<Vec<String>, String> {
    let names: BTreeSet<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    let is_name = |name: &String| {
        (1..=64).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b))
    };
    if names.iter().all(is_name) {
        Ok(names.into_iter().collect())
    } else {
        Err("is not a list of queues such as default,reports: a name has 1 to 64 of a-z, 0-9, _ and -"
            .to_owned())
    }
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty())
}

pub(super) fn networks(text: &str) -> Result<Vec<Network>, String> {
    list(text).map(Network::from_str).collect()
}

pub(super) fn programs(text: &str) -> Result<Vec<PathBuf>, String> {
    let programs: Vec<PathBuf> = list(text).map(PathBuf::from).collect();
    if programs.iter().all(|program| program.is_absolute()) {
        Ok(programs)
    } else {
        Err("is not a list of absolute paths such as /usr/bin/pg_dump,/opt/acme/report".to_owned())
    }
}

/// Rejects our own exchanges: a job must not publish there.
pub(super) fn exchanges(text: &str) -> Result<Vec<String>, String> {
    let names: Vec<String> = list(text).map(str::to_owned).collect();
    let reserved = |name: &String| name.starts_with("polychron.") || name.starts_with("amq.");
    if names.iter().any(|name| reserved(name) || name.len() > 200) {
        Err("names an exchange that begins with polychron. or amq., or is too long".to_owned())
    } else {
        Ok(names)
    }
}

pub(super) fn address(text: &str) -> Result<Option<SocketAddr>, String> {
    if text == "off" {
        return Ok(None);
    }
    let address = text.parse().map(Some);
    address.map_err(|_| "is neither `off` nor an address such as 127.0.0.1:9090".to_owned())
}

pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "is not an address such as 127.0.0.1:8484".to_owned())
}

pub(super) fn web_address(text: &str) -> Result<String, String> {
    let is_web = text.starts_with("http://") || text.starts_with("https://");
    if is_web && !text.contains('@') {
        Ok(text.to_owned())
    } else {
        Err("is not an http:// or https:// address without a user".to_owned())
    }
}

pub(super) fn filter(text: &str) -> Result<String, String> {
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("is neither a level nor a list of directives".to_owned()),
    }
}
