// SPDX-License-Identifier: GPL-2.0-or-later

//! message_t, lent for a callback.

use std::marker::PhantomData;
use std::ptr::NonNull;
use std::time::Duration;

use super::sys;

/// An IKE message lent by charon for the duration of one callback.
pub struct Message<'a> {
    raw: NonNull<sys::message_t>,
    callback: PhantomData<&'a sys::message_t>,
}

/// The notify AUTH_LIFETIME of a message.
pub struct AuthLifetime<'a> {
    notify: NonNull<sys::notify_payload_t>,
    /// What it says.
    pub lifetime: Duration,
    message: PhantomData<&'a sys::message_t>,
}

impl AuthLifetime<'_> {
    /// Has charon, which reads the message after the callback, find that lifetime in it.
    pub fn replace(&mut self, lifetime: Duration) {
        let seconds = u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX);
        let mut bytes = seconds.to_be_bytes();
        let data = sys::chunk_t {
            ptr: bytes.as_mut_ptr(),
            len: bytes.len(),
        };
        // SAFETY: the notify is that of a message that is valid for the callback and used by no other thread;
        // charon copies the data and frees what it had, of which nobody keeps a pointer
        // (encoding/payloads/notify_payload.c).
        unsafe { call!(self.notify.as_ptr(), set_notification_data, data) }
        self.lifetime = lifetime;
    }
}

/// A request as it was sent.
pub struct SentRequest {
    /// Its message ID.
    pub message_id: u32,
    /// The IKE message, without UDP header and non-ESP marker.
    pub data: Box<[u8]>,
}

impl Message<'_> {
    /// None for NULL.
    ///
    /// # Safety
    /// `raw` must be NULL or a message that stays valid, and is used by no other thread, for `'a`.
    pub(super) unsafe fn lend(raw: *mut sys::message_t) -> Option<Self> {
        NonNull::new(raw).map(|raw| Self {
            raw,
            callback: PhantomData,
        })
    }

    /// Whether it is a request, and not the response to one.
    pub fn is_request(&self) -> bool {
        // SAFETY: valid for the callback.
        unsafe { call!(self.raw.as_ptr(), get_request) }
    }

    /// Whether it is an INFORMATIONAL exchange's of IKEv2.
    pub fn is_informational(&self) -> bool {
        // SAFETY: valid for the callback.
        let exchange = unsafe { call!(self.raw.as_ptr(), get_exchange_type) };
        exchange == sys::exchange_type_t::INFORMATIONAL
    }

    /// How long the IKE_SA may live until it authenticates again, where a gateway says so as it establishes the
    /// IKE_SA (AUTH_LIFETIME of IKE_AUTH, RFC 4478).
    pub fn auth_lifetime(&self) -> Option<AuthLifetime<'_>> {
        // SAFETY: valid for the callback; the notify belongs to the message, and its data, whose length is
        // checked, is copied at once.
        unsafe {
            if call!(self.raw.as_ptr(), get_exchange_type) != sys::exchange_type_t::IKE_AUTH {
                return None;
            }
            let notify = NonNull::new(call!(
                self.raw.as_ptr(),
                get_notify,
                sys::notify_type_t::AUTH_LIFETIME
            ))?;
            let data = call!(notify.as_ptr(), get_notification_data);
            if data.ptr.is_null() || data.len != size_of::<u32>() {
                return None;
            }
            let seconds = u32::from_be_bytes(data.ptr.cast::<[u8; 4]>().read_unaligned());
            Some(AuthLifetime {
                notify,
                lifetime: Duration::from_secs(seconds.into()),
                message: PhantomData,
            })
        }
    }

    /// The request as it is sent, if it is encoded and one packet has all of it: of an IKEv2 message that
    /// is sent in fragments charon encodes nothing but these (encoding/message.c, fragment).
    pub fn sent(&self) -> Option<SentRequest> {
        // SAFETY: valid for the callback; the data belongs to its packet and is copied at once.
        unsafe {
            let data = call!(self.raw.as_ptr(), get_packet_data);
            if data.ptr.is_null() || data.len == 0 {
                return None;
            }
            Some(SentRequest {
                message_id: call!(self.raw.as_ptr(), get_message_id),
                data: std::slice::from_raw_parts(data.ptr, data.len).into(),
            })
        }
    }
}
