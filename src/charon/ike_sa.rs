// SPDX-License-Identifier: GPL-2.0-or-later

//! ike_sa_t in its three forms: borrowed in a callback, checked out, and as an id.

use std::ffi::CStr;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::ptr::{self, NonNull};
use std::time::Duration;

use extsock_core::failover::evidence::{self, IkeSaState, IkeSpis, Task, Tasks};
use extsock_core::failover::traffic::Packets;

use super::child_cfg::ChildCfg;
use super::child_sa;
use super::enumerate::{string, Enumerator};
use super::hooks::{BeforeResolving, InReestablishPre, InStateChange};
use super::host::{ip, Host};
use super::message::SentRequest;
use super::object::Borrowed;
use super::peer_cfg::PeerCfg;
use super::sys;

/// What may be kept of an IKE_SA: its unique id. It names at most one IKE_SA for as long as charon
/// runs, and none when that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IkeSaId(pub u32);

/// By what charon finds an IKE_SA at once, which by [`IkeSaId`] alone it looks for among all: its SPIs, which stay
/// for as long as it is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IkeSaKey {
    ike_version: u8,
    initiator_spi: u64,
    responder_spi: u64,
    is_initiator: bool,
}

/// An IKE_SA lent by charon for the duration of one callback.
///
/// The thread that runs the callback has it checked out, or is the only one to know it, so that the
/// getters need no lock. It cannot leave the callback.
pub struct IkeSa<'a> {
    raw: NonNull<sys::ike_sa_t>,
    callback: PhantomData<&'a sys::ike_sa_t>,
}

impl IkeSa<'_> {
    /// None for NULL.
    ///
    /// # Safety
    /// `raw` must be NULL or an IKE_SA that stays valid, and is used by no other thread, for `'a`.
    pub(super) unsafe fn lend(raw: *mut sys::ike_sa_t) -> Option<Self> {
        NonNull::new(raw).map(|raw| Self {
            raw,
            callback: PhantomData,
        })
    }

    fn as_ptr(&self) -> *mut sys::ike_sa_t {
        self.raw.as_ptr()
    }

    /// Its unique id.
    pub fn id(&self) -> IkeSaId {
        // SAFETY: valid for the callback, see lend().
        IkeSaId(unsafe { call!(self.as_ptr(), get_unique_id) })
    }

    /// The name of its configuration; "(unnamed)" before it has one.
    pub fn name(&self) -> String {
        // SAFETY: valid for the callback; the name that it lends is copied at once.
        unsafe { string(call!(self.as_ptr(), get_name)) }
    }

    /// As [`Self::name`], without a copy.
    pub fn with_name<T>(&self, body: impl FnOnce(&str) -> T) -> T {
        // SAFETY: valid for the callback, which lends the name for as long as its configuration stays.
        let name = unsafe {
            let name = call!(self.as_ptr(), get_name);
            (!name.is_null()).then(|| CStr::from_ptr(name))
        };
        body(&name.unwrap_or_default().to_string_lossy())
    }

    /// Whether its configuration has more than one remote address.
    pub fn has_several_remotes(&self) -> bool {
        // SAFETY: valid for the callback; the configuration, which may be missing, belongs to it and
        // lends its list of addresses.
        unsafe {
            let ike_cfg = call!(self.as_ptr(), get_ike_cfg);
            if ike_cfg.is_null() {
                return false;
            }
            let addresses = call!(ike_cfg, get_other_addr);
            !addresses.is_null() && CStr::from_ptr(addresses).to_bytes().contains(&b',')
        }
    }

    /// Its state; in `ike_state_change` that is still the previous one.
    pub fn state(&self) -> IkeSaState {
        // SAFETY: valid for the callback.
        state(unsafe { call!(self.as_ptr(), get_state) })
    }

    /// The local and the remote address; None where not known yet.
    pub fn addresses(&self) -> (Option<IpAddr>, Option<IpAddr>) {
        // SAFETY: valid for the callback; the hosts belong to the IKE_SA and are read at once.
        unsafe {
            (
                ip(call!(self.as_ptr(), get_my_host)),
                ip(call!(self.as_ptr(), get_other_host)),
            )
        }
    }

    /// Its SPIs.
    pub fn spis(&self) -> IkeSpis {
        // SAFETY: valid for the callback; the id belongs to the IKE_SA and keeps its SPIs in network
        // byte order (sa/ike_sa_id.h).
        unsafe {
            let id = call!(self.as_ptr(), get_id);
            IkeSpis {
                initiator: u64::from_be(call!(id, get_initiator_spi)),
                responder: u64::from_be(call!(id, get_responder_spi)),
            }
        }
    }

    /// What the failover core has to know of it.
    pub fn snapshot(&self) -> evidence::IkeSa {
        evidence::IkeSa {
            id: self.id().0,
            name: self.name(),
            remote_addrs: self.remote_addrs(),
            remote: self
                .addresses()
                .1
                .filter(|address| !address.is_unspecified()),
            initiator: self.is_initiator(),
            state: self.state(),
            tasks: self.tasks(),
        }
    }

    /// What it is busy with.
    pub fn tasks(&self) -> Tasks {
        Tasks {
            active: self.queue(sys::task_queue_t::TASK_QUEUE_ACTIVE),
            passive: self.queue(sys::task_queue_t::TASK_QUEUE_PASSIVE),
            queued: self.queue(sys::task_queue_t::TASK_QUEUE_QUEUED),
        }
    }

    /// Replaces its configuration, whose addresses charon resolves after the callback. In
    /// `ike_reestablish_pre` that is the new IKE_SA.
    pub fn set_peer_cfg(&mut self, peer_cfg: &PeerCfg, _: &impl BeforeResolving) {
        // SAFETY: valid for the callback; charon takes a reference of its own. The configuration that
        // is replaced is not used by the callers up the stack (sa/ike_sa.c, retransmit, reestablish).
        unsafe { call!(self.as_ptr(), set_peer_cfg, peer_cfg.as_ptr()) }
    }

    /// The over_time of its configuration.
    pub fn over_time(&self) -> Option<Duration> {
        // SAFETY: valid for the callback; the configuration, which may be missing, lives as long and is only
        // read.
        let seconds = unsafe {
            let peer_cfg = call!(self.as_ptr(), get_peer_cfg);
            (!peer_cfg.is_null()).then(|| call!(peer_cfg, get_over_time))
        };
        seconds.map(|seconds| Duration::from_secs(seconds.into()))
    }

    /// Replaces its configuration and returns the one that it had, which charon may still read: the caller
    /// keeps it until the IKE_SA changes its state again.
    ///
    /// To be called when it goes into CONNECTING or ESTABLISHED: charon reads the rounds of authentication
    /// after the first and not after the second, but its ike_cfg_t may be read by the caller up the stack
    /// (sa/ikev2/tasks/ike_init.c, build_i).
    #[must_use]
    pub fn exchange_peer_cfg(&mut self, peer_cfg: &PeerCfg, _: &InStateChange) -> Option<PeerCfg> {
        // SAFETY: valid for the callback; the configuration, which may be missing, is lent and a reference
        // taken before charon gives up its own, and it takes one of the new configuration.
        unsafe {
            let before = PeerCfg::own(call!(self.as_ptr(), get_peer_cfg));
            call!(self.as_ptr(), set_peer_cfg, peer_cfg.as_ptr());
            before
        }
    }

    /// Has the new IKE_SA resolve the addresses of its configuration when it is initiated, instead of keeping
    /// the one that it has.
    pub fn forget_other_host(&mut self, _: &InReestablishPre) {
        if let Some(any) = Host::from_string("%any", 0) {
            // SAFETY: valid for the callback, and adopts the host; the caller up the stack has no use
            // for the one that is replaced (sa/ike_sa.c, reestablish).
            unsafe { call!(self.as_ptr(), set_other_host, any.into_raw()) }
        }
    }

    /// Whether it replaces itself to reauthenticate, which leads to the same gateway.
    pub fn is_reauthenticating(&self) -> bool {
        // SAFETY: valid for the callback.
        unsafe {
            call!(
                self.as_ptr(),
                has_condition,
                sys::ike_condition_t::COND_REAUTHENTICATING
            )
        }
    }

    /// Whether it has a lifetime, which is over.
    pub fn is_expired(&self) -> bool {
        // SAFETY: valid for the callback; charon has times of this clock (libstrongswan utils/utils/time.h).
        let (end, now) = unsafe {
            let end = call!(self.as_ptr(), get_statistic, sys::statistic_t::STAT_DELETE);
            (end, sys::time_monotonic(ptr::null_mut()))
        };
        end != 0 && seconds(now) >= i64::from(end)
    }

    /// Whether its gateway redirected it here.
    pub fn is_redirected(&self) -> bool {
        // SAFETY: valid for the callback; the host belongs to the IKE_SA.
        !unsafe { call!(self.as_ptr(), get_redirected_from) }.is_null()
    }

    /// The remote addresses of its configuration. Empty unless the IKE_SA has just been created, as nobody needs
    /// them later.
    fn remote_addrs(&self) -> String {
        if self.state() != IkeSaState::Created {
            return String::new();
        }
        // SAFETY: valid for the callback; the configuration, which may be missing, belongs to it.
        unsafe {
            let ike_cfg = call!(self.as_ptr(), get_ike_cfg);
            if ike_cfg.is_null() {
                return String::new();
            }
            string(call!(ike_cfg, get_other_addr))
        }
    }

    /// Whether we initiated it, or the IKE_SA that it replaced by rekeying: the id's flag follows
    /// who rekeyed, the condition is not yet set when an initiation begins (sa/ike_sa.c).
    fn is_initiator(&self) -> bool {
        // SAFETY: valid for the callback; the id belongs to the IKE_SA.
        unsafe {
            let original = call!(
                self.as_ptr(),
                has_condition,
                sys::ike_condition_t::COND_ORIGINAL_INITIATOR
            );
            let starting = matches!(self.state(), IkeSaState::Created | IkeSaState::Connecting);
            original || (starting && call!(call!(self.as_ptr(), get_id), is_initiator))
        }
    }

    /// Whether the exchange that it has initiated is a DPD request of IKEv2 and nothing else.
    pub fn is_sending_dpd(&self) -> bool {
        // SAFETY: valid for the callback.
        unsafe { is_sending_dpd(self.as_ptr()) }
    }

    fn queue(&self, queue: sys::task_queue_t::Type) -> Vec<Task> {
        // SAFETY: valid for the callback; the tasks belong to the IKE_SA, and nothing changes its
        // queues while the enumerator lives.
        unsafe {
            tasks(self.as_ptr(), queue)
                .map(|raw| task(call!(raw, get_type)))
                .collect()
        }
    }
}

/// An IKE_SA that this thread holds exclusively, checked in when dropped.
///
/// Checking out waits while another thread has it: never in a listener callback.
pub struct CheckedOutIkeSa {
    raw: NonNull<sys::ike_sa_t>,
}

impl CheckedOutIkeSa {
    /// Checks out the IKE_SA; None if it is gone.
    pub fn by_id(id: IkeSaId) -> Option<Self> {
        // SAFETY: charon and its IKE_SA manager outlive the plugin's feature, within which jobs run.
        let raw = unsafe {
            let manager = (*sys::charon).ike_sa_manager;
            call!(manager, checkout_by_id, id.0)
        };
        NonNull::new(raw).map(|raw| Self { raw })
    }

    /// As [`Self::by_id`], without looking at all others.
    pub fn by_key(id: IkeSaId, key: IkeSaKey) -> Option<Self> {
        let IkeSaKey {
            ike_version,
            initiator_spi,
            responder_spi,
            is_initiator,
        } = key;
        // SAFETY: as in by_id(). The manager only reads the id, which is new and destroyed at once.
        let raw = unsafe {
            let manager = (*sys::charon).ike_sa_manager;
            let spis =
                sys::ike_sa_id_create(ike_version, initiator_spi, responder_spi, is_initiator);
            let raw = call!(manager, checkout, spis);
            call!(spis, destroy);
            raw
        };
        let found = NonNull::new(raw).map(|raw| Self { raw })?;
        // SAFETY: checked out, so valid.
        let is_its = unsafe { call!(found.raw.as_ptr(), get_unique_id) } == id.0;
        is_its.then_some(found)
    }

    /// By what it is found at once.
    pub fn ike_sa_key(&self) -> IkeSaKey {
        // SAFETY: checked out, so valid; the id belongs to it.
        unsafe {
            let id = call!(self.raw.as_ptr(), get_id);
            IkeSaKey {
                ike_version: call!(id, get_ike_version),
                initiator_spi: call!(id, get_initiator_spi),
                responder_spi: call!(id, get_responder_spi),
                is_initiator: call!(id, is_initiator),
            }
        }
    }

    /// The name of its configuration.
    pub fn name(&self) -> String {
        // SAFETY: checked out, so valid; the name that it lends is copied at once.
        unsafe { string(call!(self.raw.as_ptr(), get_name)) }
    }

    /// Replaces its configuration.
    pub fn set_peer_cfg(&mut self, peer_cfg: &PeerCfg) {
        // SAFETY: checked out, so valid; charon takes a reference of its own.
        unsafe { call!(self.raw.as_ptr(), set_peer_cfg, peer_cfg.as_ptr()) }
    }

    /// How many packets the SAs of its CHILD_SAs in one direction have carried; those of which the kernel does not
    /// tell are left out.
    pub fn packets(&self, inbound: bool) -> Packets {
        // SAFETY: checked out, so valid; the CHILD_SAs and the hosts belong to it, and nothing changes them
        // while it is.
        unsafe {
            let hosts = (
                call!(self.raw.as_ptr(), get_my_host),
                call!(self.raw.as_ptr(), get_other_host),
            );
            let children = call!(self.raw.as_ptr(), create_child_sa_enumerator);
            Enumerator::<sys::child_sa_t>::new(children)
                .filter_map(|child| child_sa::packets(child, hosts, inbound))
                .collect()
        }
    }

    /// Whether it is making a CHILD_SA, or about to.
    pub fn makes_child(&self) -> bool {
        self.has_task(|task| matches!(task, Task::ChildCreate | Task::ChildRekey))
    }

    /// Whether it is telling its peer of other addresses, or about to (MOBIKE).
    pub fn announces_addresses(&self) -> bool {
        self.has_task(|task| task == Task::IkeMobike)
    }

    fn has_task(&self, is_sought: impl Fn(Task) -> bool) -> bool {
        let queues = [
            sys::task_queue_t::TASK_QUEUE_ACTIVE,
            sys::task_queue_t::TASK_QUEUE_QUEUED,
        ];
        // SAFETY: checked out, so valid; the tasks belong to it.
        queues.into_iter().any(|queue| unsafe {
            tasks(self.raw.as_ptr(), queue).any(|raw| is_sought(task(call!(raw, get_type))))
        })
    }

    /// Whether it has a CHILD_SA of that name that is up.
    pub fn has_child(&self, name: &str) -> bool {
        use sys::child_sa_state_t as s;
        // SAFETY: checked out, so valid; the CHILD_SAs belong to it, and the name that one lends is copied at once.
        unsafe {
            Enumerator::<sys::child_sa_t>::new(call!(self.raw.as_ptr(), create_child_sa_enumerator))
                .filter(|child| {
                    let state = call!(*child, get_state);
                    matches!(state, s::CHILD_INSTALLED | s::CHILD_REKEYING)
                })
                .any(|child| string(call!(child, get_name)) == name)
        }
    }

    /// Brings up a CHILD_SA.
    pub fn initiate(self, child_cfg: ChildCfg) {
        // SAFETY: checked out, so valid; the configuration is given away.
        let status = unsafe {
            call!(
                self.raw.as_ptr(),
                initiate,
                child_cfg.into_raw(),
                ptr::null_mut()
            )
        };
        self.done(status);
    }

    /// Whether it is up, also while it is being rekeyed.
    pub fn is_up(&self) -> bool {
        // SAFETY: checked out, so valid.
        let state = state(unsafe { call!(self.raw.as_ptr(), get_state) });
        matches!(state, IkeSaState::Established | IkeSaState::Rekeying)
    }

    /// The address that it sends from.
    pub fn local(&self) -> Option<IpAddr> {
        // SAFETY: checked out, so valid; the host belongs to it and is read at once.
        unsafe { ip(call!(self.raw.as_ptr(), get_my_host)) }
    }

    /// The address of its peer.
    pub fn remote(&self) -> Option<IpAddr> {
        // SAFETY: checked out, so valid; the host belongs to it and is read at once.
        unsafe { ip(call!(self.raw.as_ptr(), get_other_host)) }
    }

    /// Whether it is one of IKEv1.
    pub fn is_ikev1(&self) -> bool {
        // SAFETY: checked out, so valid.
        unsafe { call!(self.raw.as_ptr(), get_version) == sys::ike_version_t::IKEV1 }
    }

    /// Whether its peer answers DPD requests, which in IKEv1 is an extension (RFC 3706).
    pub fn supports_dpd(&self) -> bool {
        // SAFETY: checked out, so valid.
        unsafe {
            call!(
                self.raw.as_ptr(),
                supports_extension,
                sys::ike_extension_t::EXT_DPD
            )
        }
    }

    /// Its configuration.
    pub fn peer_cfg(&self) -> Option<Borrowed<'_, PeerCfg>> {
        // SAFETY: checked out, so valid; it holds its configuration, which may be missing, until another one is
        // set, which takes self mutably.
        unsafe { PeerCfg::lend(call!(self.raw.as_ptr(), get_peer_cfg)) }
    }

    /// IKEv2: sends a DPD request, unless an exchange is in flight, which is as good.
    ///
    /// charon's own send_dpd() starts an endless chain of DPD jobs where the configuration has an
    /// interval, a second one (sa/ike_sa.c).
    pub fn send_dpd(self) {
        let this = self.raw.as_ptr();
        // SAFETY: checked out, so valid; the task is adopted; no child is initiated.
        let status = unsafe {
            if active_tasks(this).next().is_some() {
                return;
            }
            let task = sys::ike_dpd_create(true);
            call!(this, queue_task, task.cast::<sys::task_t>());
            call!(this, initiate, ptr::null_mut(), ptr::null_mut())
        };
        self.done(status);
    }

    /// IKEv2: sends the DPD request again, if it is the request in flight; false if it is not.
    ///
    /// As charon's task manager sends it again, from and to the hosts of now (sa/ikev2/task_manager_v2.c,
    /// send_packets), but beside it: that would count this against retransmit_tries, and begin another
    /// series of retransmissions.
    pub fn repeat_dpd(&self, request: &SentRequest) -> bool {
        let this = self.raw.as_ptr();
        // SAFETY: checked out, so valid. Its message ID of requests is that of the exchange in flight. The
        // hosts belong to it, and the packet adopts copies of them and of the data, which is from libc's
        // heap as charon's chunks are. The sender, to which charon has given the same request before, outlives
        // all IKE_SAs and adopts the packet.
        unsafe {
            let in_flight = call!(this, get_message_id, true);
            if in_flight != request.message_id || !is_sending_dpd(this) {
                return false;
            }
            let Some(data) = copy_on_libc_heap(&request.data) else {
                return false;
            };
            let (from, to) = (call!(this, get_my_host), call!(this, get_other_host));
            let packet = sys::packet_create_from_data(call!(from, clone), call!(to, clone), data);
            let ike_cfg = call!(this, get_ike_cfg);
            if !ike_cfg.is_null() {
                call!(packet, set_dscp, call!(ike_cfg, get_dscp));
            }
            call!((*sys::charon).sender, send, packet);
        }
        true
    }

    /// IKEv1: sends a DPD request; false while it is being replaced, when charon sends none.
    ///
    /// Only charon itself can number it, and it continues its chain of DPD jobs by the interval of the
    /// configuration: for the duration of the call that is `without_interval`.
    pub fn send_dpd_with(mut self, without_interval: &PeerCfg) -> bool {
        let this = self.raw.as_ptr();
        let Some(peer_cfg) = self.peer_cfg().as_deref().cloned() else {
            return false;
        };
        // SAFETY: checked out, so valid.
        if state(unsafe { call!(this, get_state) }) != IkeSaState::Established {
            return false;
        }
        self.set_peer_cfg(without_interval);
        // SAFETY: as above.
        let status = unsafe { call!(this, send_dpd) };
        self.set_peer_cfg(&peer_cfg);
        self.done(status);
        true
    }

    /// Gives it back after a step of its own, which may have been its last.
    fn done(self, status: sys::status_t::Type) {
        if status != sys::status_t::DESTROY_ME {
            return;
        }
        // SAFETY: checked out by by_id(); the manager takes it back for good, and forgetting self
        // keeps Drop from checking it in again.
        unsafe {
            let manager = (*sys::charon).ike_sa_manager;
            call!(manager, checkin_and_destroy, self.raw.as_ptr());
        }
        std::mem::forget(self);
    }
}

impl Drop for CheckedOutIkeSa {
    fn drop(&mut self) {
        // SAFETY: checked out by by_id() and given back only here.
        unsafe {
            let manager = (*sys::charon).ike_sa_manager;
            call!(manager, checkin, self.raw.as_ptr());
        }
    }
}

/// The tasks of the exchange that it has initiated.
///
/// # Safety
/// `ike_sa` must be valid and used by no other thread until the result is dropped.
unsafe fn active_tasks(ike_sa: *mut sys::ike_sa_t) -> Enumerator<sys::task_t> {
    // SAFETY: by this function's contract.
    unsafe { tasks(ike_sa, sys::task_queue_t::TASK_QUEUE_ACTIVE) }
}

/// The tasks in one of its queues.
///
/// # Safety
/// `ike_sa` must be valid and used by no other thread until the result is dropped.
unsafe fn tasks(
    ike_sa: *mut sys::ike_sa_t,
    queue: sys::task_queue_t::Type,
) -> Enumerator<sys::task_t> {
    // SAFETY: valid by this function's contract; the enumerator is new and yields one pointer.
    unsafe { Enumerator::new(call!(ike_sa, create_task_enumerator, queue)) }
}

/// Whether the exchange that it has initiated is a DPD request of IKEv2 and nothing else.
///
/// # Safety
/// `ike_sa` must be valid and used by no other thread.
unsafe fn is_sending_dpd(ike_sa: *mut sys::ike_sa_t) -> bool {
    // SAFETY: by this function's contract; the tasks belong to the IKE_SA.
    unsafe {
        let mut tasks = active_tasks(ike_sa).map(|task| call!(task, get_type));
        tasks.next() == Some(sys::task_type_t::TASK_IKE_DPD) && tasks.next().is_none()
    }
}

/// A chunk to give away to charon, which frees it; None if there is no memory.
fn copy_on_libc_heap(data: &[u8]) -> Option<sys::chunk_t> {
    // SAFETY: the memory is new, has room for the data, and is given away.
    unsafe {
        let copy = NonNull::new(libc::malloc(data.len()).cast::<u8>())?;
        copy.copy_from_nonoverlapping(NonNull::from(data).cast(), data.len());
        Some(sys::chunk_t {
            ptr: copy.as_ptr(),
            len: data.len(),
        })
    }
}

/// charon's state as ours.
pub(super) fn state(raw: sys::ike_sa_state_t::Type) -> IkeSaState {
    use sys::ike_sa_state_t as s;
    match raw {
        s::IKE_CREATED => IkeSaState::Created,
        s::IKE_CONNECTING => IkeSaState::Connecting,
        s::IKE_ESTABLISHED => IkeSaState::Established,
        s::IKE_PASSIVE => IkeSaState::Passive,
        s::IKE_REKEYING => IkeSaState::Rekeying,
        s::IKE_REKEYED => IkeSaState::Rekeyed,
        s::IKE_DELETING => IkeSaState::Deleting,
        _ => IkeSaState::Destroying,
    }
}

fn task(raw: sys::task_type_t::Type) -> Task {
    use sys::task_type_t as t;
    match raw {
        t::TASK_IKE_DELETE => Task::IkeDelete,
        t::TASK_IKE_REAUTH => Task::IkeReauth,
        t::TASK_IKE_REKEY => Task::IkeRekey,
        t::TASK_IKE_MOBIKE => Task::IkeMobike,
        t::TASK_IKE_VERIFY_PEER_CERT => Task::IkeVerifyPeerCert,
        t::TASK_ISAKMP_DELETE => Task::IsakmpDelete,
        t::TASK_INFORMATIONAL => Task::Informational,
        t::TASK_CHILD_CREATE | t::TASK_QUICK_MODE => Task::ChildCreate,
        t::TASK_CHILD_REKEY => Task::ChildRekey,
        t::TASK_CHILD_DELETE | t::TASK_QUICK_DELETE => Task::ChildDelete,
        _ => Task::Other,
    }
}

#[allow(
    clippy::useless_conversion,
    reason = "time_t has 32 bits on some machines"
)]
fn seconds(time: sys::time_t) -> i64 {
    i64::from(time)
}
