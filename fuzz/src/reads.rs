//! Input that comes in pieces.

use std::fmt::Debug;

/// Longest input of which each front is tried; of a longer one, every few bytes.
const TRIED: usize = 192;

/// Checks that `parse` says the same however its input comes: `Ok(None)` for every front, until
/// what it says of the whole; returns that.
pub(crate) fn in_any_reads<T: PartialEq + Debug, E: PartialEq + Debug>(
    data: &[u8],
    mut parse: impl FnMut(&[u8]) -> Result<Option<T>, E>,
) -> Result<Option<T>, E> {
    let whole = parse(data);
    for length in (0..data.len()).step_by(data.len() / TRIED + 1) {
        match parse(&data[..length]) {
            Ok(None) => {}
            early => {
                assert_eq!(early, whole, "the first {length} bytes and all say different things");
                break;
            }
        }
    }
    // What was parsed last is what the caller looks at.
    let again = parse(data);
    assert_eq!(again, whole, "the same bytes, read twice");
    whole
}
