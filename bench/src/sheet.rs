//! A case's measurements: samples by round, and statistics of them.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

/// The figures of one run by name and unit (`jobs/s`). The first one is compared.
pub type Sample = Vec<(&'static str, f64)>;

/// A case's measurements. Contestants in a group are compared with each other.
pub struct Sheet {
    case: &'static str,
    baselines: &'static [&'static str],
    settings: Value,
    rows: Vec<Row>,
    notes: Vec<String>,
}

struct Row {
    group: String,
    contestant: String,
    /// One for each round.
    samples: Vec<Sample>,
}

impl Sheet {
    /// An empty sheet. In each group, all are compared with the one of `baselines` that has the highest
    /// median. `settings` are recorded with the samples.
    pub fn new(case: &'static str, baselines: &'static [&'static str], settings: Value) -> Sheet {
        Sheet { case, baselines, settings, rows: Vec::new(), notes: Vec::new() }
    }

    /// Adds a contestant's sample to the current round.
    pub fn add(&mut self, group: &str, contestant: &str, sample: Sample) {
        let found =
            self.rows.iter_mut().find(|row| row.group == group && row.contestant == contestant);
        match found {
            Some(row) => row.samples.push(sample),
            None => self.rows.push(Row {
                group: group.to_owned(),
                contestant: contestant.to_owned(),
                samples: vec![sample],
            }),
        }
    }

    /// Adds a note below the table.
    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// A Markdown table of medians, with the first figure's lowest and highest values and the median of
    /// its ratios to the best baseline within a round.
    pub fn table(&self) -> String {
        let mut table = String::new();
        let names = self.rows.first().map_or(Vec::new(), Row::figure_names);
        let Some((first, others)) = names.split_first() else { return table };
        // Writing to a string cannot fail.
        let _ = writeln!(table, "| | | {first} (min-max) | ratio | {} |", others.join(" | "));
        let _ = writeln!(table, "|{}", "---|".repeat(4 + others.len()));
        for row in &self.rows {
            let values = row.values(first);
            let (low, high) = (lowest(&values), highest(&values));
            let ratio = self.ratio(row).map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
            let medians: Vec<String> =
                others.iter().map(|name| shown(median(&row.values(name)))).collect();
            let _ = writeln!(
                table,
                "| {} | {} | **{}** ({}-{}) | {ratio} | {} |",
                row.group,
                row.contestant,
                shown(median(&values)),
                shown(low),
                shown(high),
                medians.join(" | ")
            );
        }
        for note in &self.notes {
            let _ = write!(table, "\n- {note}");
        }
        table
    }

    /// Writes all samples to `<folder>/<case>.json`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let rows: Vec<Value> = self.rows.iter().map(|row| {
            let figures: serde_json::Map<String, Value> =
                row.figure_names().iter().map(|name| ((*name).to_owned(), json!(row.values(name)))).collect();
            json!({"group": row.group, "contestant": row.contestant, "ratio": self.ratio(row), "figures": figures})
        }).collect();
        let cores = std::thread::available_parallelism()?.get();
        let load = fs::read_to_string("/proc/loadavg")?;
        let all = json!({
            "case": self.case,
            "settings": self.settings,
            "machine": {"cores": cores, "load_at_the_end": load.trim()},
            "rows": rows,
            "notes": self.notes,
        });
        fs::create_dir_all(folder)?;
        let file = folder.join(format!("{}.json", self.case));
        Ok(fs::write(file, format!("{all:#}\n"))?)
    }

    /// The median of a row's ratios to its group's best baseline, round by round. `None` without a
    /// baseline.
    fn ratio(&self, row: &Row) -> Option<f64> {
        let of_group = self.rows.iter().filter(|other| other.group == row.group);
        let baselines =
            of_group.filter(|other| self.baselines.contains(&other.contestant.as_str()));
        let best = baselines.max_by(|a, b| median(&a.firsts()).total_cmp(&median(&b.firsts())))?;
        let ratios: Vec<f64> =
            row.firsts().iter().zip(best.firsts()).map(|(ours, theirs)| ours / theirs).collect();
        Some(median(&ratios))
    }
}

impl Row {
    fn figure_names(&self) -> Vec<&'static str> {
        self.samples.first().into_iter().flatten().map(|(name, _)| *name).collect()
    }

    fn values(&self, name: &str) -> Vec<f64> {
        let of_name = |sample: &Sample| {
            sample.iter().find(|(figure, _)| *figure == name).map(|(_, value)| *value)
        };
        self.samples.iter().filter_map(of_name).collect()
    }

    fn firsts(&self) -> Vec<f64> {
        self.samples.iter().filter_map(|sample| sample.first().map(|(_, value)| *value)).collect()
    }
}

/// The median; NaN without values.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

/// The slope of a least-squares line through the pairs; zero unless there are two different first
/// values.
pub fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |value: fn(&(f64, f64)) -> f64| points.iter().map(value).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let spread: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    let together: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    if spread > 0.0 { together / spread } else { 0.0 }
}

fn lowest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn highest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// Rounded to three significant digits, which is as precise as the measurements are.
fn shown(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_within_rounds_against_the_best_baseline() {
        let mut sheet = Sheet::new("test", &["slow", "quick"], Value::Null);
        // A machine that slows down from round to round.
        for (ours, slow, quick) in [(90.0, 20.0, 100.0), (45.0, 60.0, 50.0), (8.0, 1.0, 10.0)] {
            sheet.add("one", "ours", vec![("jobs/s", ours), ("us/job", 1.0)]);
            sheet.add("one", "slow", vec![("jobs/s", slow), ("us/job", 2.0)]);
            sheet.add("one", "quick", vec![("jobs/s", quick), ("us/job", 3.5)]);
            sheet.add("other", "ours", vec![("jobs/s", 1.0), ("us/job", 1.0)]);
        }
        assert_eq!(sheet.ratio(&sheet.rows[0]), Some(0.9));
        assert_eq!(sheet.ratio(&sheet.rows[3]), None, "it has nobody to be compared with");
        let table = sheet.table();
        assert!(table.contains("| one | ours | **45.0** (8.00-90.0) | 0.90 | 1.00 |"), "{table}");
    }

    #[test]
    fn the_slope_is_the_rise_by_hour() {
        let rising: Vec<(f64, f64)> =
            (0..10).map(|n| (f64::from(n), 3.0 * f64::from(n) + 7.0)).collect();
        assert!((slope(&rising) - 3.0).abs() < 1e-9);
        assert_eq!(slope(&[(1.0, 5.0), (2.0, 9.0), (3.0, 5.0)]), 0.0);
        assert_eq!(slope(&[(1.0, 5.0)]), 0.0);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0]), 2.5);
        assert!(median(&[]).is_nan());
    }
}
