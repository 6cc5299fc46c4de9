// SPDX-License-Identifier: GPL-2.0-or-later

//! stream_service_t and stream_t: charon's sockets, by URI, watched by its own watcher.

use std::ffi::c_void;
use std::io;
use std::marker::PhantomData;
use std::mem::{size_of, size_of_val};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

use super::enumerate::c_string;
use super::guard::guard;
use super::sys;

/// A listening socket; closed, and no longer accepting, when dropped.
pub struct StreamService {
    raw: NonNull<sys::stream_service_t>,
    accept: *mut Accept,
}

type Accept = Box<dyn Fn(Stream) + Send + Sync>;

impl StreamService {
    /// Listens on a URI as charon's own plugins do (`unix://path`, `tcp://host:port`, ...); None
    /// if that is not possible, which charon has logged then.
    pub fn listen(uri: &str, accept: Accept) -> Option<Self> {
        const BACKLOG: i32 = 10;
        let uri = c_string(uri);
        // SAFETY: the stream manager lives as long as charon; the URI is only read.
        let raw = NonNull::new(unsafe {
            call!(
                (*sys::lib).streams,
                create_service,
                uri.as_ptr().cast_mut(),
                BACKLOG
            )
        })?;
        let accept = Box::into_raw(Box::new(accept));
        // SAFETY: the service is ours; the box outlives it, see Drop.
        unsafe {
            call!(
                raw.as_ptr(),
                on_accept,
                Some(on_accept),
                accept.cast(),
                sys::job_priority_t::JOB_PRIO_MEDIUM,
                0,
            );
        }
        Some(Self { raw, accept })
    }
}

impl Drop for StreamService {
    fn drop(&mut self) {
        // SAFETY: destroy waits for running callbacks, none starts after it; the box was made in
        // listen() and is freed only here.
        unsafe {
            call!(self.raw.as_ptr(), destroy);
            drop(Box::from_raw(self.accept));
        }
    }
}

// SAFETY: any thread may destroy the service, which waits for its callbacks; the box is Send.
unsafe impl Send for StreamService {}
// SAFETY: a shared service can do nothing.
unsafe impl Sync for StreamService {}

unsafe extern "C" fn on_accept(data: *mut c_void, stream: *mut sys::stream_t) -> bool {
    // The stream is ours from here, also after a panic: true keeps charon from destroying it twice.
    guard((), || {
        if let Some(raw) = NonNull::new(stream) {
            // SAFETY: data is the box of listen(), which outlives the service.
            let accept = unsafe { &*data.cast::<Accept>() };
            accept(Stream {
                raw,
                handler: None,
                registering: Mutex::default(),
            });
        }
    });
    true
}

/// What a stream calls, one call at a time for each of both, on a thread of charon's pool; false
/// stops the calls of that kind.
///
/// Neither may drop the stream, not even as one of several owners, or register a callback:
/// both wait for the call to end. Hence the reader is lent. While charon ends, dropping may not wait: who
/// drops takes the locks before it that the handler takes first.
pub trait Handler: Send + Sync + 'static {
    /// There is something to read, or the end.
    fn readable(&self, reader: &Reader<'_>) -> bool;
    /// There is room to write.
    fn writable(&self) -> bool;
}

/// The user and the groups of a client's process, as of when it connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// User.
    pub uid: u32,
    /// Groups, the primary one first.
    pub gids: Vec<u32>,
}

/// A connected client; closed when dropped.
pub struct Stream {
    raw: NonNull<sys::stream_t>,
    handler: Option<Box<Arc<dyn Handler>>>,
    /// Held to register a callback, which stream_t does not lock (networking/streams/stream.c).
    registering: Mutex<()>,
}

impl Stream {
    /// Sets the handler, before [`Stream::watch_read`] starts its calls.
    pub fn set_handler(&mut self, handler: Arc<dyn Handler>) {
        assert!(self.handler.is_none(), "the handler is set once");
        self.handler = Some(Box::new(handler));
    }

    /// Who connected; None where the socket does not tell.
    pub fn peer(&self) -> Option<Peer> {
        // SAFETY: the stream is ours; the file is on a duplicate of its descriptor, open until it is
        // closed below and used by nobody else.
        unsafe {
            let file = call!(self.raw.as_ptr(), get_file).cast::<libc::FILE>();
            if file.is_null() {
                return None;
            }
            let descriptor = BorrowedFd::borrow_raw(libc::fileno(file));
            let credentials = getsockopt(&descriptor, PeerCredentials);
            let groups = supplementary_groups(descriptor);
            libc::fclose(file);
            let credentials = credentials.ok()?;
            // What the kernel says of TCP's clients.
            if credentials.uid() == u32::MAX {
                return None;
            }
            let mut gids = vec![credentials.gid()];
            gids.extend(groups.ok()?);
            Some(Peer {
                uid: credentials.uid(),
                gids,
            })
        }
    }

    /// Starts the calls of [`Handler::readable`]; waits for a running call to end.
    pub fn watch_read(&self) {
        let _registering = self.register();
        // SAFETY: the stream is ours; the handler outlives the calls, see Drop.
        unsafe { call!(self.raw.as_ptr(), on_read, Some(on_read), self.data()) }
    }

    /// Starts the calls of [`Handler::writable`]; waits for a running call to end.
    pub fn watch_write(&self) {
        let _registering = self.register();
        // SAFETY: as in watch_read().
        unsafe { call!(self.raw.as_ptr(), on_write, Some(on_write), self.data()) }
    }

    fn register(&self) -> MutexGuard<'_, ()> {
        self.registering
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what there is room for; `WouldBlock` if for nothing. charon's daemons ignore SIGPIPE.
    pub fn write(&self, data: &[u8]) -> io::Result<usize> {
        // SAFETY: the stream is ours; the data is only read.
        let n = unsafe {
            call!(
                self.raw.as_ptr(),
                write,
                data.as_ptr().cast_mut().cast(),
                data.len(),
                false
            )
        };
        usize::try_from(n).map_err(|_| io::Error::last_os_error())
    }

    fn data(&self) -> *mut c_void {
        let handler = self.handler.as_ref().expect("set_handler comes first");
        std::ptr::from_ref(&**handler).cast_mut().cast()
    }
}

/// The groups of a Unix socket's client but the primary one.
fn supplementary_groups(socket: BorrowedFd<'_>) -> io::Result<Vec<libc::gid_t>> {
    let mut groups: Vec<libc::gid_t> = Vec::new();
    loop {
        let mut size =
            libc::socklen_t::try_from(size_of_val(&groups[..])).expect("Linux allows 65536 groups");
        // SAFETY: at most `size` bytes are written, which is what the vector has; gid_t is a number.
        let result = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &mut size,
            )
        };
        let error = (result != 0).then(io::Error::last_os_error);
        // Either way `size` is now that of all groups, which are the same each time.
        groups.resize(size as usize / size_of::<libc::gid_t>(), 0);
        match error {
            None => return Ok(groups),
            Some(error) if error.raw_os_error() == Some(libc::ERANGE) => {}
            Some(error) => return Err(error),
        }
    }
}

/// The reading side of a stream, lent for one call of its handler.
pub struct Reader<'a> {
    raw: NonNull<sys::stream_t>,
    call: PhantomData<&'a sys::stream_t>,
}

impl Reader<'_> {
    /// Reads what is there; `WouldBlock` if nothing, 0 at the end.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        // SAFETY: the stream outlives the call of its handler; at most the buffer's length is
        // written to it.
        let n = unsafe {
            call!(
                self.raw.as_ptr(),
                read,
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                false
            )
        };
        usize::try_from(n).map_err(|_| io::Error::last_os_error())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: ours since on_accept(), destroyed only here; destroy waits for running calls of the handler,
        // which is freed after this. Not once charon has ended its watcher, before its workers
        // (libstrongswan processing/watcher.c, activate_all): there the owner waits for the locks that the
        // handler takes first. A call that was handed to a worker and is not yet there is beyond both, as
        // stream_t itself is touched on the way to it; charon's own streams share that instant of its end.
        unsafe { call!(self.raw.as_ptr(), destroy) }
    }
}

// SAFETY: reading and writing are single system calls on the descriptor (networking/streams/stream.c).
unsafe impl Send for Stream {}
// SAFETY: as above; registrations hold a lock, for stream_t has none.
unsafe impl Sync for Stream {}

unsafe extern "C" fn on_read(data: *mut c_void, stream: *mut sys::stream_t) -> bool {
    guard(false, || {
        let Some(raw) = NonNull::new(stream) else {
            return false;
        };
        // SAFETY: data is the handler of the stream, which outlives its calls.
        let handler = unsafe { &*data.cast::<Arc<dyn Handler>>() };
        handler.readable(&Reader {
            raw,
            call: PhantomData,
        })
    })
}

unsafe extern "C" fn on_write(data: *mut c_void, _: *mut sys::stream_t) -> bool {
    guard(false, || {
        // SAFETY: as in on_read().
        let handler = unsafe { &*data.cast::<Arc<dyn Handler>>() };
        handler.writable()
    })
}
