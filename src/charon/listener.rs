// SPDX-License-Identifier: GPL-2.0-or-later

//! listener_t: charon's events.

use extsock_core::failover::evidence::{Alert, IkeSaState};

use super::child_sa::ChildSa;
use super::guard::guard;
use super::hooks::{InConnectTimeout, InReestablishPre, InStateChange};
use super::ike_sa::{state, IkeSa, IkeSaId};
use super::message::Message;
use super::sys;

/// Receives charon's events.
///
/// Every method runs under the bus mutex of the whole daemon, with the IKE_SA checked out: it must
/// return at once and call nothing that can lock or block (bus/bus.c).
pub trait Listener: Send + Sync + 'static {
    /// The IKE_SA, still in its previous state, goes into another.
    fn ike_state_change(&self, ike_sa: &mut IkeSa<'_>, to: IkeSaState, hook: &InStateChange);
    /// Something went wrong with the IKE_SA.
    fn alert(&self, ike_sa: &IkeSa<'_>, alert: Alert);
    /// The IKE_SA, which is connecting, got no answer to a request, and charon tries again or gives it up
    /// (in all other states charon raises [`Alert::RetransmitSendTimeout`], which goes to [`Self::alert`]).
    fn connect_timeout(&self, ike_sa: &mut IkeSa<'_>, hook: &InConnectTimeout);
    /// The daemon shuts down.
    fn shutdown(&self);
    /// The IKE_SA came up, or went down or did not come up.
    fn ike_updown(&self, ike_sa: &IkeSa<'_>, up: bool);
    /// An IKE_SA was replaced by rekeying.
    fn ike_rekey(&self, old: &IkeSa<'_>, new: &IkeSa<'_>);
    /// charon itself is about to replace an IKE_SA by a new one, whose addresses it has yet to
    /// resolve.
    fn ike_reestablish_pre(&self, old: &IkeSa<'_>, new: &mut IkeSa<'_>, hook: &InReestablishPre);
    /// charon itself replaced an IKE_SA by a new one, whose initiation is under way if `initiated`.
    fn ike_reestablish_post(&self, old: &IkeSa<'_>, new: &IkeSa<'_>, initiated: bool);
    /// An authenticated message of the peer's came.
    fn received(&self, ike_sa: &IkeSa<'_>, message: &Message<'_>);
    /// A message to the peer is encoded and about to be sent.
    fn sent(&self, ike_sa: &IkeSa<'_>, message: &Message<'_>);
    /// The CHILD_SAs of an IKEv1 SA move to the one of that id.
    fn children_migrate(&self, old: &IkeSa<'_>, new: IkeSaId);
    /// The IKEv1 SA has got the CHILD_SAs that moved to it.
    fn children_migrated(&self, new: &IkeSa<'_>);
    /// A CHILD_SA came up or went down.
    fn child_updown(&self, ike_sa: &IkeSa<'_>, child_sa: &ChildSa<'_>, up: bool);
    /// A CHILD_SA was replaced by rekeying.
    fn child_rekey(&self, ike_sa: &IkeSa<'_>, old: &ChildSa<'_>, new: &ChildSa<'_>);
}

/// A listener on charon's bus, for as long as this value lives.
pub struct Registration {
    raw: *mut Registered,
}

/// What the bus has a pointer to: charon's table first, so that both have the same address.
#[repr(C)]
struct Registered {
    table: sys::listener_t,
    listener: Box<dyn Listener>,
}

impl Registration {
    /// Adds the listener to the bus.
    pub fn new(listener: Box<dyn Listener>) -> Self {
        let table = sys::listener_t {
            alert: Some(sys::extsock_alert),
            ike_state_change: Some(ike_state_change),
            ike_updown: Some(ike_updown),
            ike_rekey: Some(ike_rekey),
            ike_reestablish_pre: Some(ike_reestablish_pre),
            ike_reestablish_post: Some(ike_reestablish_post),
            message: Some(message),
            children_migrate: Some(children_migrate),
            child_updown: Some(child_updown),
            child_rekey: Some(child_rekey),
            ..Default::default()
        };
        let raw = Box::into_raw(Box::new(Registered { table, listener }));
        // SAFETY: the bus outlives the plugin; the table stays in place until Drop removes it.
        unsafe { call!((*sys::charon).bus, add_listener, &raw mut (*raw).table) }
        Self { raw }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: remove_listener waits for a running callback, none starts after it; the box was
        // made in new() and is freed only here. This is never reached from within a callback: the
        // plugin's teardown owns the registration.
        unsafe {
            call!(
                (*sys::charon).bus,
                remove_listener,
                &raw mut (*self.raw).table
            );
            drop(Box::from_raw(self.raw));
        }
    }
}

// SAFETY: the pointer is only used by Drop, in which any thread may take the listener off the bus; the
// listener is Send.
unsafe impl Send for Registration {}
// SAFETY: a shared registration can do nothing.
unsafe impl Sync for Registration {}

/// Runs `body` with the listener behind the table that charon passed. Always true: false would
/// take the listener off the bus, which is what a panic must not do either.
///
/// # Safety
/// `this` must be the table of a [`Registered`].
unsafe fn with(this: *mut sys::listener_t, body: impl FnOnce(&dyn Listener)) -> bool {
    guard((), || {
        // SAFETY: the table is the first field, and the box lives until the bus forgot it.
        body(unsafe { &*(*this.cast::<Registered>()).listener });
    });
    true
}

unsafe extern "C" fn ike_state_change(
    this: *mut sys::listener_t,
    ike_sa: *mut sys::ike_sa_t,
    to: sys::ike_sa_state_t::Type,
) -> bool {
    // SAFETY: charon passes our table and an IKE_SA that this thread holds.
    unsafe {
        with(this, |listener| {
            if let Some(mut ike_sa) = IkeSa::lend(ike_sa) {
                listener.ike_state_change(&mut ike_sa, state(to), &InStateChange::new());
            }
        })
    }
}

/// Called by the shim, which drops the va_list.
///
/// # Safety
/// charon's: `this` is a table registered here, `ike_sa` NULL or held by this thread.
#[no_mangle]
unsafe extern "C" fn extsock_on_alert(
    this: *mut sys::listener_t,
    ike_sa: *mut sys::ike_sa_t,
    alert: sys::alert_t::Type,
) -> bool {
    use sys::alert_t as a;
    let known = match alert {
        a::ALERT_RETRANSMIT_SEND_TIMEOUT => Some(Alert::RetransmitSendTimeout),
        a::ALERT_PEER_INIT_UNREACHABLE => Some(Alert::PeerInitUnreachable),
        a::ALERT_PEER_ADDR_FAILED => Some(Alert::PeerAddrFailed),
        a::ALERT_LOCAL_AUTH_FAILED => Some(Alert::LocalAuthFailed),
        a::ALERT_PEER_AUTH_FAILED => Some(Alert::PeerAuthFailed),
        a::ALERT_PROPOSAL_MISMATCH_IKE => Some(Alert::ProposalMismatchIke),
        a::ALERT_KEEP_ON_CHILD_SA_FAILURE => Some(Alert::KeepOnChildSaFailure),
        a::ALERT_IKE_SA_EXPIRED => Some(Alert::IkeSaExpired),
        _ => None,
    };
    // SAFETY: by this function's contract.
    unsafe {
        with(this, |listener| match (known, IkeSa::lend(ike_sa)) {
            // Raised also where one without a lifetime is deleted (sa/ike_sa.c, delete_), such as the redundant
            // one of two rekeyings, and then for the one that was rekeyed (sa/ikev2/tasks/ike_rekey.c).
            (Some(Alert::IkeSaExpired), Some(ike_sa)) if !ike_sa.is_expired() => {}
            (Some(Alert::RetransmitSendTimeout), Some(mut ike_sa))
                if ike_sa.state() == IkeSaState::Connecting =>
            {
                listener.connect_timeout(&mut ike_sa, &InConnectTimeout::new());
            }
            (Some(alert), Some(ike_sa)) => listener.alert(&ike_sa, alert),
            _ if alert == a::ALERT_SHUTDOWN_SIGNAL => listener.shutdown(),
            _ => {}
        })
    }
}

unsafe extern "C" fn ike_updown(
    this: *mut sys::listener_t,
    ike_sa: *mut sys::ike_sa_t,
    up: bool,
) -> bool {
    // SAFETY: charon passes our table and an IKE_SA that this thread holds.
    unsafe {
        with(this, |listener| {
            if let Some(ike_sa) = IkeSa::lend(ike_sa) {
                listener.ike_updown(&ike_sa, up);
            }
        })
    }
}

unsafe extern "C" fn ike_rekey(
    this: *mut sys::listener_t,
    old: *mut sys::ike_sa_t,
    new: *mut sys::ike_sa_t,
) -> bool {
    // SAFETY: charon passes our table and IKE_SAs that this thread holds.
    unsafe {
        with(this, |listener| {
            if let (Some(old), Some(new)) = (IkeSa::lend(old), IkeSa::lend(new)) {
                listener.ike_rekey(&old, &new);
            }
        })
    }
}

unsafe extern "C" fn ike_reestablish_pre(
    this: *mut sys::listener_t,
    old: *mut sys::ike_sa_t,
    new: *mut sys::ike_sa_t,
) -> bool {
    // SAFETY: charon passes our table and IKE_SAs that this thread holds.
    unsafe {
        with(this, |listener| {
            if let (Some(old), Some(mut new)) = (IkeSa::lend(old), IkeSa::lend(new)) {
                listener.ike_reestablish_pre(&old, &mut new, &InReestablishPre::new());
            }
        })
    }
}

unsafe extern "C" fn message(
    this: *mut sys::listener_t,
    ike_sa: *mut sys::ike_sa_t,
    message: *mut sys::message_t,
    incoming: bool,
    plain: bool,
) -> bool {
    if incoming != plain {
        // Not yet decrypted and verified, or not yet encoded.
        return true;
    }
    // SAFETY: charon passes our table, and an IKE_SA and a message that this thread holds.
    unsafe {
        with(this, |listener| {
            if let (Some(ike_sa), Some(message)) = (IkeSa::lend(ike_sa), Message::lend(message)) {
                if incoming {
                    listener.received(&ike_sa, &message);
                } else {
                    listener.sent(&ike_sa, &message);
                }
            }
        })
    }
}

unsafe extern "C" fn ike_reestablish_post(
    this: *mut sys::listener_t,
    old: *mut sys::ike_sa_t,
    new: *mut sys::ike_sa_t,
    initiated: bool,
) -> bool {
    // SAFETY: charon passes our table and IKE_SAs that this thread holds.
    unsafe {
        with(this, |listener| {
            if let (Some(old), Some(new)) = (IkeSa::lend(old), IkeSa::lend(new)) {
                listener.ike_reestablish_post(&old, &new, initiated);
            }
        })
    }
}

/// Raised for the old IKE_SA with the new one's id, then for the new one without.
unsafe extern "C" fn children_migrate(
    this: *mut sys::listener_t,
    ike_sa: *mut sys::ike_sa_t,
    new: *mut sys::ike_sa_id_t,
    unique: u32,
) -> bool {
    // SAFETY: charon passes our table and an IKE_SA that this thread holds.
    unsafe {
        with(this, |listener| match IkeSa::lend(ike_sa) {
            Some(ike_sa) if new.is_null() => listener.children_migrated(&ike_sa),
            Some(ike_sa) => listener.children_migrate(&ike_sa, IkeSaId(unique)),
            None => {}
        })
    }
}

unsafe extern "C" fn child_updown(
    this: *mut sys::listener_t,
    ike_sa: *mut sys::ike_sa_t,
    child_sa: *mut sys::child_sa_t,
    up: bool,
) -> bool {
    // SAFETY: charon passes our table and an IKE_SA, with its CHILD_SA, that this thread holds.
    unsafe {
        with(this, |listener| {
            if let (Some(ike_sa), Some(child_sa)) = (IkeSa::lend(ike_sa), ChildSa::lend(child_sa)) {
                listener.child_updown(&ike_sa, &child_sa, up);
            }
        })
    }
}

unsafe extern "C" fn child_rekey(
    this: *mut sys::listener_t,
    ike_sa: *mut sys::ike_sa_t,
    old: *mut sys::child_sa_t,
    new: *mut sys::child_sa_t,
) -> bool {
    // SAFETY: charon passes our table and an IKE_SA, with its CHILD_SAs, that this thread holds.
    unsafe {
        with(this, |listener| {
            if let (Some(ike_sa), Some(old), Some(new)) =
                (IkeSa::lend(ike_sa), ChildSa::lend(old), ChildSa::lend(new))
            {
                listener.child_rekey(&ike_sa, &old, &new);
            }
        })
    }
}
