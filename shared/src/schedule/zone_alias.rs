//! Recognises what people write instead of an IANA time zone name, and proposes the name.

use super::zone_rules::ZoneRules;

/// Abbreviations with the zones that use them and their regions. One with several zones is ambiguous.
const ABBREVIATIONS: &[(&str, &[(&str, &str)])] = &[
    ("PST", &[("America/Los_Angeles", "US Pacific")]),
    ("PDT", &[("America/Los_Angeles", "US Pacific")]),
    ("PT", &[("America/Los_Angeles", "US Pacific")]),
    ("MDT", &[("America/Denver", "US Mountain")]),
    ("MT", &[("America/Denver", "US Mountain")]),
    ("CST", &[("America/Chicago", "US Central"), ("Asia/Shanghai", "China")]),
    ("CDT", &[("America/Chicago", "US Central")]),
    ("CT", &[("America/Chicago", "US Central")]),
    ("EDT", &[("America/New_York", "US Eastern")]),
    ("ET", &[("America/New_York", "US Eastern")]),
    ("AKST", &[("America/Anchorage", "Alaska")]),
    ("AKDT", &[("America/Anchorage", "Alaska")]),
    ("AST", &[("America/Halifax", "Atlantic Canada"), ("Asia/Riyadh", "Arabia")]),
    ("ADT", &[("America/Halifax", "Atlantic Canada")]),
    ("NST", &[("America/St_Johns", "Newfoundland")]),
    ("NDT", &[("America/St_Johns", "Newfoundland")]),
    ("BRT", &[("America/Sao_Paulo", "Brasília")]),
    ("ART", &[("America/Argentina/Buenos_Aires", "Argentina")]),
    ("CLT", &[("America/Santiago", "Chile")]),
    ("COT", &[("America/Bogota", "Colombia")]),
    ("PET", &[("America/Lima", "Peru")]),
    ("BST", &[("Europe/London", "British summer time"), ("Asia/Dhaka", "Bangladesh")]),
    ("CEST", &[("Europe/Berlin", "central Europe")]),
    ("MEZ", &[("Europe/Berlin", "central Europe")]),
    ("MESZ", &[("Europe/Berlin", "central Europe")]),
    ("EEST", &[("Europe/Athens", "eastern Europe")]),
    ("WEST", &[("Europe/Lisbon", "western Europe")]),
    ("MSK", &[("Europe/Moscow", "Moscow")]),
    ("TRT", &[("Europe/Istanbul", "Turkey")]),
    (
        "IST",
        &[("Asia/Kolkata", "India"), ("Europe/Dublin", "Ireland"), ("Asia/Jerusalem", "Israel")],
    ),
    ("IDT", &[("Asia/Jerusalem", "Israel")]),
    ("GST", &[("Asia/Dubai", "the Gulf")]),
    ("PKT", &[("Asia/Karachi", "Pakistan")]),
    ("NPT", &[("Asia/Kathmandu", "Nepal")]),
    ("ICT", &[("Asia/Bangkok", "Indochina")]),
    ("WIB", &[("Asia/Jakarta", "western Indonesia")]),
    ("WITA", &[("Asia/Makassar", "central Indonesia")]),
    ("WIT", &[("Asia/Jayapura", "eastern Indonesia")]),
    ("SGT", &[("Asia/Singapore", "Singapore")]),
    ("MYT", &[("Asia/Kuala_Lumpur", "Malaysia")]),
    ("PHT", &[("Asia/Manila", "the Philippines")]),
    ("HKT", &[("Asia/Hong_Kong", "Hong Kong")]),
    ("KST", &[("Asia/Seoul", "Korea")]),
    ("JST", &[("Asia/Tokyo", "Japan")]),
    ("AWST", &[("Australia/Perth", "western Australia")]),
    (
        "ACST",
        &[
            ("Australia/Adelaide", "South Australia"),
            ("Australia/Darwin", "the Northern Territory"),
        ],
    ),
    ("ACDT", &[("Australia/Adelaide", "South Australia")]),
    ("AEST", &[("Australia/Sydney", "New South Wales"), ("Australia/Brisbane", "Queensland")]),
    ("AEDT", &[("Australia/Sydney", "New South Wales")]),
    ("NZST", &[("Pacific/Auckland", "New Zealand")]),
    ("NZDT", &[("Pacific/Auckland", "New Zealand")]),
    ("SAST", &[("Africa/Johannesburg", "South Africa")]),
    ("EAT", &[("Africa/Nairobi", "East Africa")]),
    ("WAT", &[("Africa/Lagos", "West Africa")]),
    ("CAT", &[("Africa/Maputo", "Central Africa")]),
    ("HDT", &[("America/Adak", "the Aleutian Islands")]),
    ("Z", &[("UTC", "UTC")]),
];

/// Cities and regions that are not names of zones, with their zones.
const CITIES: &[(&str, &str)] = &[
    ("abuja", "Africa/Lagos"),
    ("abu dhabi", "Asia/Dubai"),
    ("ankara", "Europe/Istanbul"),
    ("atlanta", "America/New_York"),
    ("austin", "America/Chicago"),
    ("bangalore", "Asia/Kolkata"),
    ("barcelona", "Europe/Madrid"),
    ("basel", "Europe/Zurich"),
    ("beijing", "Asia/Shanghai"),
    ("bengaluru", "Asia/Kolkata"),
    ("bern", "Europe/Zurich"),
    ("birmingham", "Europe/London"),
    ("bonn", "Europe/Berlin"),
    ("boston", "America/New_York"),
    ("brasilia", "America/Sao_Paulo"),
    ("calgary", "America/Edmonton"),
    ("canberra", "Australia/Sydney"),
    ("cape town", "Africa/Johannesburg"),
    ("chengdu", "Asia/Shanghai"),
    ("chennai", "Asia/Kolkata"),
    ("cologne", "Europe/Berlin"),
    ("dallas", "America/Chicago"),
    ("delhi", "Asia/Kolkata"),
    ("edinburgh", "Europe/London"),
    ("frankfurt", "Europe/Berlin"),
    ("geneva", "Europe/Zurich"),
    ("glasgow", "Europe/London"),
    ("guangzhou", "Asia/Shanghai"),
    ("hamburg", "Europe/Berlin"),
    ("hanoi", "Asia/Bangkok"),
    ("houston", "America/Chicago"),
    ("hyderabad", "Asia/Kolkata"),
    ("islamabad", "Asia/Karachi"),
    ("kyoto", "Asia/Tokyo"),
    ("las vegas", "America/Los_Angeles"),
    ("lyon", "Europe/Paris"),
    ("manchester", "Europe/London"),
    ("marseille", "Europe/Paris"),
    ("miami", "America/New_York"),
    ("milan", "Europe/Rome"),
    ("minneapolis", "America/Chicago"),
    ("montreal", "America/Toronto"),
    ("mumbai", "Asia/Kolkata"),
    ("munich", "Europe/Berlin"),
    ("naples", "Europe/Rome"),
    ("new delhi", "Asia/Kolkata"),
    ("osaka", "Asia/Tokyo"),
    ("ottawa", "America/Toronto"),
    ("philadelphia", "America/New_York"),
    ("portland", "America/Los_Angeles"),
    ("pretoria", "Africa/Johannesburg"),
    ("pune", "Asia/Kolkata"),
    ("quebec", "America/Toronto"),
    ("rio de janeiro", "America/Sao_Paulo"),
    ("saint petersburg", "Europe/Moscow"),
    ("salt lake city", "America/Denver"),
    ("san diego", "America/Los_Angeles"),
    ("san francisco", "America/Los_Angeles"),
    ("seattle", "America/Los_Angeles"),
    ("shenzhen", "Asia/Shanghai"),
    ("st petersburg", "Europe/Moscow"),
    ("stuttgart", "Europe/Berlin"),
    ("tel aviv", "Asia/Jerusalem"),
    ("the hague", "Europe/Amsterdam"),
    ("washington", "America/New_York"),
    ("washington dc", "America/New_York"),
    ("wellington", "Pacific/Auckland"),
];

/// Zones for fixed offsets that are not whole hours; the offsets are in minutes.
const ODD_OFFSETS: &[(i32, &str)] = &[
    (-570, "Pacific/Marquesas"),
    (210, "Asia/Tehran"),
    (270, "Asia/Kabul"),
    (330, "Asia/Kolkata"),
    (345, "Asia/Kathmandu"),
    (390, "Asia/Yangon"),
    (525, "Australia/Eucla"),
    (570, "Australia/Darwin"),
];

/// What to write instead, with the reason; none if nothing is recognised.
pub(super) fn remedy(text: &str, rules: &ZoneRules) -> Option<String> {
    let text = text.trim();
    let exact = rules.names().find(|name| name.eq_ignore_ascii_case(text));
    if let Some(name) = exact {
        return Some(format!("did you mean `{name}`?"));
    }
    let upper = text.to_ascii_uppercase();
    if let Some((_, zones)) = ABBREVIATIONS.iter().find(|(known, _)| *known == upper) {
        return Some(of_abbreviation(&upper, zones));
    }
    if let Some(zone) = of_windows(text) {
        return Some(format!("write `{zone}`: that is Windows' `{text}`"));
    }
    offset(&upper, rules).or_else(|| of_city(text, rules))
}

fn of_abbreviation(upper: &str, zones: &[(&str, &str)]) -> String {
    let each: Vec<String> =
        zones.iter().map(|(zone, place)| format!("`{zone}` ({place})")).collect();
    let [_] = zones else {
        return format!("`{upper}` stands for several: write {}", each.join(" or "));
    };
    format!("write {}: an abbreviation says nothing about summer time", each[0])
}

/// The zone of a Windows id, by CLDR.
fn of_windows(text: &str) -> Option<&'static str> {
    let id: windows_timezones::WindowsTimezone = text.parse().ok()?;
    Some(id.tzdb_id())
}

/// `GMT+5`, `UTC-08:00`, `+05:30`.
fn offset(upper: &str, rules: &ZoneRules) -> Option<String> {
    let rest = upper.strip_prefix("UTC").or_else(|| upper.strip_prefix("GMT")).unwrap_or(upper);
    let rest = rest.trim().replace('\u{2212}', "-");
    let (sign, digits) = match rest.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match digits.split_once(':') {
        Some(divided) => divided,
        None if digits.len() == 4 => digits.split_at_checked(2)?,
        None => (digits, "0"),
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(hours) || !is_number(minutes) {
        return None;
    }
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    let total = sign * (hours.checked_mul(60)?.checked_add(minutes)?);
    if total == 0 {
        return Some("write `UTC`".to_owned());
    }
    if total % 60 == 0 {
        // The names follow POSIX, whose offsets are added to local time to get UTC.
        let name = format!("Etc/GMT{:+}", -total / 60);
        rules.find(&name)?;
        return Some(format!(
            "write `{name}`, whose sign is reversed, for {rest} all year; or a city's zone, which knows summer time"
        ));
    }
    let (_, zone) = ODD_OFFSETS.iter().find(|(offset, _)| *offset == total)?;
    Some(format!("write `{zone}`, which is {rest} all year"))
}

/// A city, alone or behind an area that it does not belong to.
fn of_city(text: &str, rules: &ZoneRules) -> Option<String> {
    let last = text.rsplit('/').next()?.trim().to_lowercase().replace(['_', '-', '.'], " ");
    let last = last.split(',').next()?.trim();
    let known = CITIES.iter().find(|(place, _)| *place == last).map(|(_, zone)| *zone);
    if let Some(zone) = known {
        return Some(format!("write `{zone}`, which is the zone of {}", shown(text)));
    }
    let city = |name: &str| {
        let city = name.rsplit('/').next().unwrap_or_default();
        city.to_lowercase().replace(['_', '-'], " ") == last
    };
    let mut named = rules.names().filter(|name| name.contains('/') && city(name));
    let zone = named.next()?;
    Some(format!("did you mean `{zone}`?"))
}

fn shown(text: &str) -> String {
    super::error::shown(text.rsplit('/').next().unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_zone_that_is_proposed_exists() {
        let rules = ZoneRules::built_in();
        let of_abbreviations = ABBREVIATIONS.iter().flat_map(|(_, zones)| *zones);
        let proposed = of_abbreviations.map(|(zone, _)| *zone);
        let proposed = proposed.chain(CITIES.iter().map(|(_, zone)| *zone));
        for zone in proposed.chain(ODD_OFFSETS.iter().map(|(_, zone)| *zone)) {
            assert!(rules.find(zone).is_some(), "{zone}");
        }
        for (offset, zone) in ODD_OFFSETS {
            let zone = rules.find(zone).unwrap();
            for month in 1..=12 {
                let at = format!("2026-{month:02}-15T00:00:00Z").parse().unwrap();
                assert_eq!(zone.offset_at(at), i64::from(*offset) * 60, "{}", zone.name());
            }
        }
    }

    #[test]
    fn the_intended_zone_is_proposed_instead_of_the_nearest_spelling() {
        for (text, expected) in [
            ("PST", &["`America/Los_Angeles`", "US Pacific"][..]),
            ("jst", &["`Asia/Tokyo`"]),
            ("AEST", &["`Australia/Sydney`", "`Australia/Brisbane`"]),
            ("CST", &["`America/Chicago`", "`Asia/Shanghai`"]),
            ("GMT+5", &["`Etc/GMT-5`", "reversed"]),
            ("UTC-08:00", &["`Etc/GMT+8`"]),
            ("+05:30", &["`Asia/Kolkata`"]),
            ("UTC+0530", &["`Asia/Kolkata`"]),
            ("Asia/Beijing", &["`Asia/Shanghai`"]),
            ("America/Washington", &["`America/New_York`"]),
            ("Europe/Munich", &["`Europe/Berlin`"]),
            ("US/San_Francisco", &["`America/Los_Angeles`"]),
            ("london", &["`Europe/London`"]),
            ("America/London", &["`Europe/London`"]),
            ("W. Europe Standard Time", &["`Europe/Berlin`", "Windows"]),
            ("Pacific Standard Time", &["`America/Los_Angeles`"]),
            ("Tokyo Standard Time", &["`Asia/Tokyo`"]),
            ("europe/london", &["`Europe/London`"]),
        ] {
            let remedy = remedy(text, ZoneRules::built_in()).unwrap_or_default();
            for part in expected {
                assert!(remedy.contains(part), "{text}: {remedy}");
            }
        }
        for text in ["", "nowhere", "GMT+25", "+05:31", "+:", "-"] {
            assert_eq!(remedy(text, ZoneRules::built_in()), None, "{text}");
        }
    }
}
