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
    pub fn auth_lifetime(&self) -> Option<Duration> {
        // SAFETY: valid for the callback; the notify belongs to the message, and its data, whose length is
        // checked, is copied at once.
        unsafe {
            if call!(self.raw.as_ptr(), get_exchange_type) != sys::exchange_type_t::IKE_AUTH {
                return None;
            }
            let notify = call!(
                self.raw.as_ptr(),
                get_notify,
                sys::notify_type_t::AUTH_LIFETIME
            );
            if notify.is_null() {
                return None;
            }
            let data = call!(notify, get_notification_data);
            if data.ptr.is_null() || data.len != size_of::<u32>() {
                return None;
            }
            let bytes: [u8; 4] = data.ptr.cast::<[u8; 4]>().read_unaligned();
            Some(Duration::from_secs(u32::from_be_bytes(bytes).into()))
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
