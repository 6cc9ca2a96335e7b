//! Feeds a decoder with mutations of a corpus, and keeps those that make it behave in a new way.
//!
//! The stable toolchain has no coverage instrumentation. Instead, a target returns a word for what
//! it did, such as the kind of its error; an input with a new word joins the corpus of this run, so
//! that later mutations start from it.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use shared::clock::Clock;
use shared::random::Random;

/// How long a target runs in the ordinary tests.
const USUAL: Duration = Duration::from_secs(2);
/// The variable that lets it run longer, in seconds: `make fuzz` sets it.
const SECONDS: &str = "POLYCHRON_FUZZ_SECONDS";
/// The most processor time that one input may take, without optimisation.
const INPUT_LIMIT: Duration = Duration::from_secs(10);
/// The most that a target may add to this process's memory, in KiB.
const GROWTH_MAX: u64 = 256 << 10;
const INPUT_BYTES_MAX: usize = 16 << 10;
/// The size of the corpus of a run.
const KEPT_BYTES_MAX: usize = 8 << 20;
/// Numbers and characters at which decoders tend to go wrong.
const TOKENS: [&str; 30] = [
    "0",
    "-1",
    "255",
    "256",
    "32768",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551616",
    "1e308",
    "NaN",
    "null",
    "true",
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\0",
    "\u{FEFF}",
    "\u{202E}",
    "é",
    "𝟙",
    "\r\n",
    "%",
    "\\u0000",
];

/// Runs `target` with the inputs of `tests/corpus/NAME` and then with mutations of them, which also
/// contain the `words`. Panics with the input's file if the target panics or takes too long.
pub fn fuzz(name: &str, words: &[&str], mut target: impl FnMut(&[u8]) -> String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus").join(name);
    let mut kept = corpus(&folder);
    let known = kept.len();
    let words: Vec<&str> = words.iter().chain(&TOKENS).copied().collect();
    let (random, clock) = (Random::system(), Clock::System);
    let (start, memory) = (clock.boot_time(), peak_memory());
    let (mut seen, mut count, mut bytes) = (BTreeSet::new(), 0_u64, 0);
    while count < known as u64 || clock.boot_time() - start < length() {
        let at = usize::try_from(count).unwrap_or(usize::MAX);
        let input = match kept.get(at) {
            Some(input) if at < known => input.clone(),
            _ => mutate(&kept, &words, &random),
        };
        let began = processor_time();
        let did = catch_unwind(AssertUnwindSafe(|| target(&input)));
        let took = processor_time() - began;
        count += 1;
        let did = did.unwrap_or_else(|panic| {
            report(name, &input, "it panicked");
            resume_unwind(panic)
        });
        if took > INPUT_LIMIT {
            panic!("{}", report(name, &input, &format!("it took {took:?}")));
        }
        if seen.insert(hash(&did)) && at >= known && bytes < KEPT_BYTES_MAX {
            bytes += input.len();
            kept.push(input);
        }
    }
    let grown = peak_memory().saturating_sub(memory);
    let found = kept.len() - known;
    #[expect(clippy::print_stdout, reason = "`make fuzz` shows it")]
    {
        println!(
            "fuzz\t{name}\t{count} executions\t{} behaviours\t{found} new inputs\t{grown} KiB",
            seen.len()
        );
    }
    assert!(grown < GROWTH_MAX, "{name}: memory grew by {grown} KiB");
}

#[expect(clippy::disallowed_methods, reason = "`make fuzz` says how long")]
fn length() -> Duration {
    let seconds = std::env::var(SECONDS).ok().and_then(|text| text.parse().ok());
    seconds.map_or(USUAL, Duration::from_secs)
}

fn corpus(folder: &Path) -> Vec<Vec<u8>> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

fn hash(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// What this thread has used so far. On a busy machine, elapsed time says nothing.
fn processor_time() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(used).unwrap_or_default()
}

/// Writes an input that fails to a file.
fn report(name: &str, input: &[u8], what: &str) -> String {
    let file = std::env::temp_dir().join(format!("polychron-fuzz-{name}-{:016x}", hash(input)));
    std::fs::write(&file, input).unwrap();
    let text = format!(
        "{name}: {what}; the input is in {}: add it to tests/corpus/{name}\n{}",
        file.display(),
        String::from_utf8_lossy(&input[..input.len().min(2000)]).escape_debug()
    );
    #[expect(clippy::print_stderr, reason = "the panic itself comes from elsewhere")]
    {
        eprintln!("{text}");
    }
    text
}

/// One to eight changes of an input, or the beginning of one and the end of another.
fn mutate(kept: &[Vec<u8>], words: &[&str], random: &Random) -> Vec<u8> {
    let mut input = kept[below(random, kept.len())].clone();
    for _ in 0..=below(random, 8) {
        let (from, to) = (below(random, input.len() + 1), below(random, input.len() + 1));
        let (from, to) = (from.min(to), from.max(to));
        match below(random, 8) {
            0 if !input.is_empty() => {
                let at = from.min(input.len() - 1);
                input[at] ^= 1 << below(random, 8);
            }
            1 => drop(input.splice(from..from, [random.bytes::<1>()[0]])),
            2 => drop(input.drain(from..to.min(from + 16))),
            3 => {
                let piece = input[from..to].to_vec();
                let at = below(random, input.len() + 1);
                drop(input.splice(at..at, piece));
            }
            4 => {
                let other = &kept[below(random, kept.len())];
                let at = below(random, other.len() + 1);
                input.truncate(from);
                input.extend_from_slice(&other[at..]);
            }
            // Replaces a number or a word as a whole.
            5 => {
                let is_inner = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
                let start = input[..from].iter().rposition(|byte| !is_inner(byte));
                let start = start.map_or(0, |at| at + 1);
                let end = input[from..].iter().position(|byte| !is_inner(byte));
                let end = end.map_or(input.len(), |at| from + at);
                drop(input.splice(start..end, words[below(random, words.len())].bytes()));
            }
            6 if below(random, 20) == 0 => {
                let piece = input[from..to.min(from + 64)].repeat(1 + below(random, 2000));
                drop(input.splice(from..from, piece));
            }
            _ => drop(input.splice(from..from, words[below(random, words.len())].bytes())),
        }
    }
    input.truncate(INPUT_BYTES_MAX);
    input
}

fn below(random: &Random, limit: usize) -> usize {
    usize::try_from(u64::from_le_bytes(random.bytes()) % limit as u64).unwrap_or_default()
}

/// The most memory that this process has used, in KiB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}
