// SPDX-License-Identifier: GPL-2.0-or-later

//! enumerator_t as an iterator, and strings.

use std::borrow::Cow;
use std::ffi::{c_char, c_void, CStr, CString};
use std::marker::PhantomData;
use std::ptr;

use super::sys;

/// Iterates over the pointers that a charon enumerator yields; destroys it when dropped.
pub(super) struct Enumerator<T> {
    raw: *mut sys::enumerator_t,
    item: PhantomData<*mut T>,
}

impl<T> Enumerator<T> {
    /// # Safety
    /// `raw` must be a new enumerator whose only output argument is a `T*`; it is owned from here.
    pub(super) unsafe fn new(raw: *mut sys::enumerator_t) -> Self {
        Self {
            raw,
            item: PhantomData,
        }
    }
}

impl<T> Iterator for Enumerator<T> {
    type Item = *mut T;

    fn next(&mut self) -> Option<*mut T> {
        let mut item: *mut T = ptr::null_mut();
        // SAFETY: new() was promised a valid enumerator with one pointer as its output.
        unsafe { call!(self.raw, enumerate, &mut item as *mut *mut T) }.then_some(item)
    }
}

impl<T> Drop for Enumerator<T> {
    fn drop(&mut self) {
        // SAFETY: the enumerator is ours since new() and destroyed only here.
        unsafe { call!(self.raw, destroy) }
    }
}

/// Takes the items out of a list that charon gave away, and destroys the list.
///
/// # Safety
/// `list` must be a new list of `T`, owned with its items by the caller.
pub(super) unsafe fn take_list<T, O>(
    list: *mut sys::linked_list_t,
    adopt: impl Fn(*mut T) -> Option<O>,
) -> Vec<O> {
    let mut items = Vec::new();
    let mut item: *mut c_void = ptr::null_mut();
    // SAFETY: the list is valid until it is destroyed below; remove_first fills item on SUCCESS.
    unsafe {
        while call!(list, remove_first, &mut item) == sys::status_t::SUCCESS {
            items.extend(adopt(item.cast()));
        }
        call!(list, destroy);
    }
    items
}

/// A copy of a C string; empty for NULL.
///
/// # Safety
/// `text` must be NULL or a NUL-terminated string.
pub(super) unsafe fn string(text: *const c_char) -> String {
    // SAFETY: by this function's contract.
    unsafe { lent_string(text) }.into_owned()
}

/// A C string that is not copied, as far as it is UTF-8; empty for NULL.
///
/// # Safety
/// `text` must be NULL or a NUL-terminated string that stays as it is for `'a`.
pub(super) unsafe fn lent_string<'a>(text: *const c_char) -> Cow<'a, str> {
    if text.is_null() {
        return Cow::Borrowed("");
    }
    // SAFETY: not NULL, and NUL-terminated and unchanged by this function's contract.
    unsafe { CStr::from_ptr(text) }.to_string_lossy()
}

/// The text as a C string; NUL bytes, which C could not carry, are left out.
pub(super) fn c_string(text: &str) -> CString {
    let bytes: Vec<u8> = text.bytes().filter(|byte| *byte != 0).collect();
    CString::new(bytes).expect("NUL bytes were left out")
}
