// SPDX-License-Identifier: GPL-2.0-or-later

//! Ownership of charon's objects as Rust types.

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;

/// An object of charon's that something else holds for `'a`: read like one of one's own, which its clone is.
pub struct Borrowed<'a, T> {
    /// Never dropped: the reference is not ours.
    object: ManuallyDrop<T>,
    holder: PhantomData<&'a T>,
}

impl<T> Borrowed<'_, T> {
    /// To be called by the `lend` of an object's type.
    pub(super) fn new(object: T) -> Self {
        Self {
            object: ManuallyDrop::new(object),
            holder: PhantomData,
        }
    }
}

impl<T> Deref for Borrowed<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.object
    }
}

/// Declares a type that owns one reference of a charon object: `Clone` is `$clone` (`get_ref` of a
/// reference-counted object, `clone` of one with a single owner), `Drop` is `destroy`. Whether it may be
/// sent to and shared with other threads is said where it is declared.
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

            /// A lent object without a reference of its own; None for NULL.
            ///
            /// # Safety
            /// `raw` must be NULL or an object that something else holds for `'a`.
            #[allow(dead_code)]
            pub(super) unsafe fn lend<'a>(
                raw: *mut super::sys::$raw,
            ) -> Option<super::object::Borrowed<'a, Self>> {
                std::ptr::NonNull::new(raw).map(|raw| super::object::Borrowed::new(Self(raw)))
            }

            /// A reference to, or copy of, a lent object; None for NULL.
            ///
            /// # Safety
            /// `raw` must be NULL or a valid object for the duration of the call.
            #[allow(dead_code)]
            pub(super) unsafe fn own(raw: *mut super::sys::$raw) -> Option<Self> {
                // SAFETY: valid by this function's contract.
                unsafe { Self::lend(raw) }.as_deref().cloned()
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
                // SAFETY: self holds a reference, so the object is valid; the result is ours.
                unsafe { Self::adopt(call!(self.as_ptr(), $clone $(, $argument)*)) }
                    .expect("charon: clone is never NULL")
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: the reference is ours and given back only here (into_raw forgets self, and what
                // is lent is never dropped).
                unsafe { call!(self.as_ptr(), destroy) }
            }
        }
    };
}

pub(super) use object;
