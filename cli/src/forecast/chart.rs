//! The starts of each minute as columns of a terminal.

use chrono::TimeDelta;
use shared::clock::Time;

use operations::forecast::Minute;

const COLUMNS: usize = 72;
const ROWS: usize = 6;
const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Draws the starts of each minute. A column that covers several minutes shows the busiest of them.
pub(super) fn draw(from: Time, to: Time, minutes: &[Minute]) -> String {
    let width = minutes.len().div_ceil(COLUMNS).max(1);
    let busiest = |minutes: &[Minute]| minutes.iter().map(|minute| minute.starts).max();
    let columns: Vec<u64> = minutes.chunks(width).filter_map(busiest).collect();
    let most = columns.iter().copied().max().unwrap_or_default();
    let label = most.to_string();
    let margin = label.len();
    let mut text = format!("Starts per minute (each column: the most in {width} min)\n");
    for row in (0..ROWS).rev() {
        let label = match row {
            _ if row == ROWS - 1 => label.as_str(),
            0 => "0",
            _ => "",
        };
        let bars: String = columns.iter().map(|&starts| bar(starts, most, row)).collect();
        text += format!("{label:>margin$} ┤{bars}").trim_end();
        text.push('\n');
    }
    let (first, last) = (hour(from), hour(to - TimeDelta::minutes(1)));
    let between = columns.len().saturating_sub(first.len() + last.len()).max(1);
    text + &format!("{:margin$}  {first}{:between$}{last}\n\n", "", "")
}

/// What one row shows of a column: nothing, a part in eighths, or all.
fn bar(starts: u64, most: u64, row: usize) -> char {
    let eighths = (starts as usize * ROWS * 8).div_ceil((most as usize).max(1));
    EIGHTHS[eighths.saturating_sub(row * 8).min(8)]
}

fn hour(time: Time) -> String {
    time.format("%m-%dT%H:%MZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_high_as_their_busiest_minute() {
        let minute = |starts| Minute { starts, slots: 0.0 };
        let minutes: Vec<Minute> = [0, 48, 0, 1, 24, 0].map(minute).into();
        let from = "2026-12-01T00:00:00Z".parse::<Time>().unwrap();
        let text = draw(from, from + TimeDelta::minutes(6), &minutes);
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows[1], "48 ┤ █");
        assert_eq!(rows[4], "   ┤ █  █");
        assert_eq!(rows[6], " 0 ┤ █ ▁█");
        assert!(rows[7].contains("12-01T00:00Z 12-01T00:05Z"), "{text}");
    }
}
