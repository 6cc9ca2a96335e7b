//! Whether the parser of AMQP bounds how deep headers may lie within each other. The published one recurses
//! without a limit, so a message of 5 KB overflows the stack of every process that receives it, one after
//! the other. `vendor/amq-protocol-types` skips what lies too deep (`vendor/README.md`).

use std::sync::Once;

use lapin::types::FieldTable;
use tracing::warn;

/// Warns, once, if this program was built with the published parser. Cargo reads `[patch]` only from the
/// workspace that is built, so a program in another workspace must name ours there.
pub(super) fn warn_if_unbounded() {
    static WARNED: Once = Once::new();
    if !FieldTable::BOUNDS_DEPTH {
        WARNED.call_once(|| {
            warn!(
                "built with the published amq-protocol-types, without limits: see vendor/README.md"
            );
        });
    }
}

/// The constant that the published parser lacks. An inherent one takes precedence over a trait's.
#[allow(dead_code, reason = "the parser in the tree has a constant of this name")]
trait WithoutBound {
    const BOUNDS_DEPTH: bool = false;
}

impl WithoutBound for FieldTable {}

#[cfg(test)]
mod tests {
    use lapin::types::{AMQPValue, parsing};

    use super::*;

    /// A table with one entry of this key and value.
    fn table(key: &[u8], value: &[u8]) -> Vec<u8> {
        let mut entry = vec![key.len() as u8];
        entry.extend_from_slice(key);
        entry.extend_from_slice(value);
        [&(entry.len() as u32).to_be_bytes()[..], &entry].concat()
    }

    fn parsed(bytes: &[u8]) -> FieldTable {
        let (rest, table) = parsing::parse_field_table(bytes).unwrap();
        assert!(rest.is_empty());
        table
    }

    fn depth(value: &AMQPValue) -> usize {
        1 + match value {
            AMQPValue::FieldArray(array) => array.as_slice().iter().map(depth).max().unwrap_or(0),
            AMQPValue::FieldTable(table) => table.inner().values().map(depth).max().unwrap_or(0),
            _ => 0,
        }
    }

    #[test]
    fn what_lies_too_deep_is_skipped_and_the_rest_is_read() {
        const { assert!(FieldTable::BOUNDS_DEPTH) }
        for levels in [1, 30, 31, 32, 33, 25_000] {
            let mut arrays = Vec::new();
            let mut tables = b"V".to_vec();
            for _ in 0..levels.min(5000) {
                tables = [b"F".as_slice(), &table(b"k", &tables)].concat();
            }
            for level in (0..levels as u32).rev() {
                arrays.push(b'A');
                arrays.extend_from_slice(&(level * 5).to_be_bytes());
            }
            for nested in [arrays, tables] {
                let both =
                    [table(b"deep", &nested), table(b"after", b"t\x01")].map(|it| it[4..].to_vec());
                let both = both.concat();
                let read = parsed(&[&(both.len() as u32).to_be_bytes()[..], &both].concat());
                assert_eq!(read.inner()["after"], AMQPValue::Boolean(true), "{levels}");
                assert!(depth(&read.inner()["deep"]) <= 33, "{levels}");
            }
        }
    }

    #[test]
    fn a_key_that_is_not_utf_8_is_replaced() {
        let read = parsed(&table(b"\xff\xfe", b"t\x01"));
        assert_eq!(read.inner()["\u{fffd}\u{fffd}"], AMQPValue::Boolean(true));
        // A replacement is longer than what it replaces.
        let read = parsed(&table(&[0xff; 255], b"t\x01"));
        assert_eq!(read.inner()["\u{fffd}".repeat(85).as_str()], AMQPValue::Boolean(true));
    }
}
