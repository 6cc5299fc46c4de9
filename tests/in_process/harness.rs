// SPDX-License-Identifier: GPL-2.0-or-later

//! charon in this process.

use std::ffi::{c_char, CStr, CString};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use extsock::charon::{self, sys, Backend, PeerCfg};
use extsock_core::config::{self, Configuration};
use extsock_core::error::Error;

/// Calls a method of a charon object, in an unsafe block.
macro_rules! call {
    ($object:expr, $method:ident $(, $argument:expr)* $(,)?) => {{
        let object = $object;
        ((*object).$method.expect(stringify!($method)))(object $(, $argument)*)
    }};
}

/// How long a test waits for what must happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What proposals, identities, certificates and keys need.
const PLUGINS: &CStr =
    c"random nonce aes sha1 sha2 hmac kdf gmp openssl pem pkcs1 x509 pubkey pkcs8";

/// Two for charon's own scheduler and watcher, the others for jobs.
const THREADS: u32 = 2 + WORKERS;

/// Threads for jobs.
pub const WORKERS: u32 = 4;

/// A configuration for this charon.
pub fn parse(json: &str) -> Result<Configuration, Error> {
    config::parse(json, charon::version())
}

/// Starts charon without its threads; once per process, and never taken down: tests of other
/// threads may still be in it.
pub fn init() {
    init_with(PLUGINS);
}

/// The same with other plugins, to be called first.
pub fn init_with(plugins: &CStr) {
    static STARTED: OnceLock<()> = OnceLock::new();
    STARTED.get_or_init(|| {
        // SAFETY: the first calls into both libraries, by one thread; the strings are constants,
        // and only read.
        unsafe {
            assert!(sys::library_init(
                c"".as_ptr().cast_mut(),
                c"charon".as_ptr()
            ));
            assert!(sys::libcharon_init());
            assert!(call!(
                (*sys::lib).plugins,
                load,
                plugins.as_ptr().cast_mut()
            ));
        }
    });
}

/// Starts charon with its threads, once per process.
pub fn start() {
    static RUNNING: OnceLock<()> = OnceLock::new();
    init();
    // SAFETY: the library is initialised.
    RUNNING.get_or_init(|| unsafe { call!((*sys::lib).processor, set_threads, THREADS) });
}

/// Keeps other tests from registering or enumerating backends.
pub fn backends() -> MutexGuard<'static, ()> {
    static BACKENDS: Mutex<()> = Mutex::new(());
    init();
    // A failed test leaves no backend behind: they are removed when dropped.
    BACKENDS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// charon's object behind a configuration, valid for as long as the latter is.
pub fn raw(config: &PeerCfg) -> *mut sys::peer_cfg_t {
    let _alone = backends();
    let backend = Backend::register();
    backend.set(config.clone());
    let name = CString::new(&*config.name()).unwrap();
    // SAFETY: the backend manager is there; the reference that it gives is returned at once, while
    // config holds another.
    unsafe {
        let raw = call!(
            (*sys::charon).backends,
            get_peer_cfg_by_name,
            name.as_ptr().cast_mut()
        );
        assert!(!raw.is_null(), "charon finds what is registered");
        call!(raw, destroy);
        raw
    }
}

/// A copy of a C string.
///
/// # Safety
/// `text` must be NULL or a NUL-terminated string.
pub unsafe fn text(text: *const c_char) -> Option<String> {
    // SAFETY: by this function's contract.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_str().unwrap().to_owned())
}

/// The pointers that an enumerator yields.
///
/// # Safety
/// `enumerator` must be new, with one pointer to `T` as its output, and is used up.
pub unsafe fn items<T>(enumerator: *mut sys::enumerator_t) -> Vec<*mut T> {
    let mut items = Vec::new();
    let mut item: *mut T = std::ptr::null_mut();
    // SAFETY: by this function's contract.
    unsafe {
        while call!(enumerator, enumerate, &raw mut item) {
            items.push(item);
        }
        call!(enumerator, destroy);
    }
    items
}

/// Runs the body in a process of its own, where no other test runs.
///
/// `test` is the test's full name; the process runs it again, and only it.
pub fn alone(test: &str, body: impl FnOnce()) {
    if is_alone() {
        return body();
    }
    run_alone(test, Command::new(std::env::current_exe().unwrap()));
}

const MARK: &str = "EXTSOCK_TEST_ALONE";

/// Whether this process runs one test only.
pub fn is_alone() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Has the command, which starts this executable, run one test alone.
#[track_caller]
pub fn run_alone(test: &str, mut executable: Command) {
    let output = executable
        .args([
            "--exact",
            test,
            "--include-ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(MARK, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{}:\n{text}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr),
    );
}
