//! A buffer of the thread for what is written piece by piece: the result is allocated once, and is
//! as large as it needs to be.

use std::cell::Cell;

/// A larger one is not kept.
const KEPT_BYTES_MAX: usize = 256 << 10;

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What `write` appends to an empty buffer.
pub fn written<E>(write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<Vec<u8>, E> {
    // While it is taken, another call has one of its own.
    let mut scratch = SCRATCH.take();
    let outcome = write(&mut scratch).map(|()| scratch.as_slice().to_vec());
    scratch.clear();
    if scratch.capacity() <= KEPT_BYTES_MAX {
        SCRATCH.set(scratch);
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Result<Vec<u8>, ()> {
        written(|out| {
            out.extend_from_slice(bytes);
            Ok(())
        })
    }

    #[test]
    fn nothing_of_another_result_is_in_one() {
        assert_eq!(of(b"first"), Ok(b"first".to_vec()));
        let failed: Result<Vec<u8>, &str> = written(|out| {
            out.push(b'x');
            Err("no")
        });
        assert_eq!(failed, Err("no"));
        assert_eq!(of(b"2"), Ok(b"2".to_vec()));
        let within = written(|out| {
            out.push(b'(');
            out.extend(of(b"inner")?);
            out.push(b')');
            Ok::<_, ()>(())
        });
        assert_eq!(within, Ok(b"(inner)".to_vec()));
        let large = vec![7; 2 * KEPT_BYTES_MAX];
        assert_eq!(of(&large), Ok(large));
        assert_eq!(of(b""), Ok(Vec::new()));
    }
}
