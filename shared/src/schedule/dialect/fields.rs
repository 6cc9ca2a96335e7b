//! Lists of numbers and names in other languages' fields.

/// The field's names, from its first number on.
pub(super) const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
pub(super) const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];

/// A number or a name of one to all of its letters, of at least three: `Mon`, `monday`.
pub(super) fn number(text: &str, first: u32, names: &[&str]) -> Option<u32> {
    if !text.is_empty() && text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok();
    }
    let full = ["SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY"];
    let full_months = [
        "JANUARY",
        "FEBRUARY",
        "MARCH",
        "APRIL",
        "MAY",
        "JUNE",
        "JULY",
        "AUGUST",
        "SEPTEMBER",
        "OCTOBER",
        "NOVEMBER",
        "DECEMBER",
    ];
    let full: &[&str] = if names.len() == 7 { &full } else { &full_months };
    let upper = text.to_ascii_uppercase();
    let at = names.iter().zip(full).position(|(short, full)| upper == *short || upper == *full)?;
    Some(first + at as u32)
}

/// The values of a list such as `1-5,10/5`, in ascending order. A range that ends before it begins
/// wraps around.
pub(super) fn values(
    text: &str,
    (first, last): (u32, u32),
    names: &[&str],
    range: &str,
) -> Option<Vec<u32>> {
    let mut found = Vec::new();
    for item in text.split(',') {
        let (base, step) = match item.split_once('/') {
            Some((base, step)) => (base, Some(step.parse::<u32>().ok().filter(|step| *step > 0)?)),
            None => (item, None),
        };
        let (from, to) = if base == "*" {
            (first, last)
        } else if let Some((from, to)) = base.split_once(range) {
            (number(from, first, names)?, number(to, first, names)?)
        } else {
            let from = number(base, first, names)?;
            (from, if step.is_some() { last } else { from })
        };
        let valid = first..=last;
        if !valid.contains(&from) || !valid.contains(&to) {
            return None;
        }
        let width = if to < from { to + last + 1 - first - from } else { to - from };
        let offsets = (0..=width).step_by(step.unwrap_or(1) as usize);
        found.extend(offsets.map(|offset| (from - first + offset) % (last - first + 1) + first));
    }
    found.sort_unstable();
    found.dedup();
    Some(found)
}

/// The values as a field of ours: `*`, `*/n`, ranges or numbers, with names if there are some.
pub(super) fn written(values: &[u32], (first, last): (u32, u32), names: &[&str]) -> String {
    let all = (last - first + 1) as usize;
    if values.len() == all {
        return "*".to_owned();
    }
    if names.is_empty() && values.len() > 2 && values[0] == first {
        let step = values[1] - first;
        if (first..=last).step_by(step as usize).eq(values.iter().copied()) {
            return format!("*/{step}");
        }
    }
    let name = |value: u32| match names.get((value - first) as usize) {
        Some(name) => (*name).to_owned(),
        None => value.to_string(),
    };
    let mut parts = Vec::new();
    let mut rest = values;
    while let Some(start) = rest.first() {
        let length = rest.iter().zip(*start..).take_while(|(value, next)| *value == next).count();
        let end = rest[length - 1];
        match length {
            1 => parts.push(name(*start)),
            2 => parts.extend([name(*start), name(end)]),
            _ => parts.push(format!("{}-{}", name(*start), name(end))),
        }
        rest = &rest[length..];
    }
    parts.join(",")
}

/// The years that we have occurrences in.
const YEARS: (u32, u32) = (1970, 2100);

/// A field of years as our `years`: `*` if it names all.
pub(super) fn years(text: &str, range: &str) -> Option<String> {
    Some(written(&values(text, YEARS, &[], range)?, YEARS, &[]))
}
