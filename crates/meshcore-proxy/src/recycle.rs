//! Heads and output buffers that are used again, so that a request allocates nothing for them
//! and an idle connection holds none.
#![expect(clippy::vec_box, reason = "a box goes to its user and back without a copy")]

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::thread::LocalKey;

use meshcore_http::{RequestHead, ResponseHead};

/// Things of a kind that a worker keeps for reuse.
const MAX_KEPT: usize = 128;

/// An output buffer larger than this is not kept.
const MAX_KEPT_BYTES: usize = 64 * 1024;

type Shelf<T> = LocalKey<RefCell<Vec<Box<T>>>>;

/// Something that is emptied and used again.
pub(crate) trait Recyclable: Sized + 'static {
    fn fresh() -> Self;
    /// Empties it; `false` when it is not worth keeping.
    fn empty(&mut self) -> bool;
    fn shelf() -> &'static Shelf<Self>;
}

/// A borrowed thing that goes back to the worker's shelf when it is dropped.
#[derive(Debug)]
pub(crate) struct Recycled<T: Recyclable>(Option<Box<T>>);

impl<T: Recyclable> Recycled<T> {
    pub(crate) fn take() -> Self {
        let kept = T::shelf().with_borrow_mut(Vec::pop);
        Self(Some(kept.unwrap_or_else(|| Box::new(T::fresh()))))
    }
}

impl<T: Recyclable> Deref for Recycled<T> {
    type Target = T;

    #[expect(clippy::expect_used, reason = "only drop takes it out")]
    fn deref(&self) -> &T {
        self.0.as_ref().expect("present until dropped")
    }
}

impl<T: Recyclable> DerefMut for Recycled<T> {
    #[expect(clippy::expect_used, reason = "only drop takes it out")]
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("present until dropped")
    }
}

impl<T: Recyclable> Drop for Recycled<T> {
    fn drop(&mut self) {
        let Some(mut used) = self.0.take() else { return };
        if used.empty() {
            // At the end of a thread its shelf may be gone before the last user.
            let _gone = T::shelf().try_with(|shelf| {
                let mut kept = shelf.borrow_mut();
                if kept.len() < MAX_KEPT {
                    kept.push(used);
                }
            });
        }
    }
}

thread_local! {
    static REQUESTS: RefCell<Vec<Box<RequestHead>>> = const { RefCell::new(Vec::new()) };
    static RESPONSES: RefCell<Vec<Box<ResponseHead>>> = const { RefCell::new(Vec::new()) };
    static OUTPUTS: RefCell<Vec<Box<Vec<u8>>>> = const { RefCell::new(Vec::new()) };
}

impl Recyclable for RequestHead {
    fn fresh() -> Self {
        Self::new()
    }

    fn empty(&mut self) -> bool {
        self.clear();
        true
    }

    fn shelf() -> &'static Shelf<Self> {
        &REQUESTS
    }
}

impl Recyclable for ResponseHead {
    fn fresh() -> Self {
        Self::new()
    }

    fn empty(&mut self) -> bool {
        self.clear();
        true
    }

    fn shelf() -> &'static Shelf<Self> {
        &RESPONSES
    }
}

impl Recyclable for Vec<u8> {
    fn fresh() -> Self {
        Self::new()
    }

    fn empty(&mut self) -> bool {
        self.clear();
        self.capacity() <= MAX_KEPT_BYTES
    }

    fn shelf() -> &'static Shelf<Self> {
        &OUTPUTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_comes_back_empty() {
        let mut out = Recycled::<Vec<u8>>::take();
        out.extend_from_slice(b"used");
        let address = out.as_ptr();
        drop(out);
        let again = Recycled::<Vec<u8>>::take();
        assert!(again.is_empty());
        assert_eq!(again.as_ptr(), address);
    }

    #[test]
    fn a_large_buffer_is_not_kept() {
        let mut out = Recycled::<Vec<u8>>::take();
        out.reserve(MAX_KEPT_BYTES + 1);
        drop(out);
        assert_eq!(Recycled::<Vec<u8>>::take().capacity(), 0);
    }
}
