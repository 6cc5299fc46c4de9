// SPDX-License-Identifier: GPL-2.0-or-later

//! Ownership of charon's objects as Rust types.

/// Declares a type that owns one reference of a charon object: `Clone` is `$clone` (`get_ref` of a
/// reference-counted object, `clone` of one with a single owner), `Drop` is `destroy`.
macro_rules! object {
    ($(#[$doc:meta])* $name:ident, $raw:ident, $clone:ident $(, $argument:expr)*) => {
        $(#[$doc])*
        pub struct $name(std::ptr::NonNull<super::sys::$raw>);

        impl $name {
            /// Takes over a reference; None for NULL.
            ///
            /// # Safety
            /// `raw` must be NULL or a valid object of which the caller gives away one reference.
            #[allow(dead_code)]
            pub(super) unsafe fn adopt(raw: *mut super::sys::$raw) -> Option<Self> {
                std::ptr::NonNull::new(raw).map(Self)
            }

            /// Makes an own reference of a borrowed object; None for NULL.
            ///
            /// # Safety
            /// `raw` must be NULL or a valid object for the duration of the call.
            #[allow(dead_code)]
            pub(super) unsafe fn borrow(raw: *mut super::sys::$raw) -> Option<Self> {
                let raw = std::ptr::NonNull::new(raw)?;
                // SAFETY: valid by this function's contract.
                unsafe { Self::adopt(call!(raw.as_ptr(), $clone $(, $argument)*)) }
            }

            /// The object, still owned by `self`.
            #[allow(dead_code)]
            pub(super) fn as_ptr(&self) -> *mut super::sys::$raw {
                self.0.as_ptr()
            }

            /// Gives the reference away to charon.
            #[allow(dead_code)]
            pub(super) fn into_raw(self) -> *mut super::sys::$raw {
                std::mem::ManuallyDrop::new(self).0.as_ptr()
            }
        }

        impl Clone for $name {
            fn clone(&self) -> Self {
                // SAFETY: self holds a reference, so the object is valid.
                unsafe { Self::borrow(self.as_ptr()) }.expect("charon: clone is never NULL")
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: the reference is ours and given back only here (into_raw forgets self).
                unsafe { call!(self.as_ptr(), destroy) }
            }
        }

        // SAFETY: charon hands these objects from thread to thread itself; reference counts are
        // atomic and what can change after creation is locked inside the object.
        unsafe impl Send for $name {}
        // SAFETY: as above; the methods that the wrapper offers on &self only read.
        unsafe impl Sync for $name {}
    };
}

pub(super) use object;
