// SPDX-License-Identifier: GPL-2.0-or-later

//! The plugin as charon's plugin loader uses it.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering};

use extsock::charon::{create_plugin, plugin_t, sys, Feature};

use super::harness::{init, text};

/// A feature that counts in a cell of its test.
struct Counted(&'static AtomicUsize);

impl Feature for Counted {}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

type Start = fn() -> Result<Box<dyn Feature>, String>;

/// A plugin, destroyed at the end.
struct Plugin(*mut plugin_t);

impl Plugin {
    fn create(start: Start) -> Self {
        init();
        let plugin = create_plugin(start);
        assert!(!plugin.is_null(), "the libraries of the test fit");
        Self(plugin)
    }

    fn features(&self) -> Vec<sys::plugin_feature_t> {
        let mut list = null_mut();
        // SAFETY: the plugin is valid; the array that it gives has as many entries as it says.
        unsafe {
            let count = call!(self.0, get_features, &mut list);
            std::slice::from_raw_parts(list, count.try_into().unwrap()).to_vec()
        }
    }

    /// Calls the feature's callback as the plugin loader does.
    fn register(&self, register: bool) -> bool {
        let mut features = self.features();
        // SAFETY: the first entry is a callback, see the test of the features.
        unsafe {
            let callback = features[0].arg.cb;
            (callback.f.unwrap())(self.0, &mut features[1], register, callback.data)
        }
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        // SAFETY: created by us, destroyed only here.
        unsafe { call!(self.0, destroy) }
    }
}

#[test]
fn the_plugin_tells_its_name_and_its_only_feature() {
    use sys::plugin_feature_t__bindgen_ty_1 as kind;

    let plugin = Plugin::create(|| unreachable!("nothing is registered"));

    // SAFETY: the plugin is valid, the strings are constants.
    unsafe {
        assert_eq!(text(call!(plugin.0, get_name)).unwrap(), "extsock");
        let features = plugin.features();
        let kinds: Vec<_> = features.iter().map(|feature| feature.kind).collect();
        assert_eq!(
            kinds,
            [
                kind::FEATURE_CALLBACK,
                kind::FEATURE_PROVIDE,
                kind::FEATURE_DEPENDS
            ]
        );
        assert_eq!(text(features[1].arg.custom).unwrap(), "extsock");
        assert_eq!(
            text(features[2].arg.custom).unwrap(),
            "libcharon-sa-managers"
        );
    }
}

#[test]
fn registration_starts_the_feature_and_deregistration_drops_it() {
    static STARTED: AtomicUsize = AtomicUsize::new(0);
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    let counts = || {
        (
            STARTED.load(Ordering::SeqCst),
            DROPPED.load(Ordering::SeqCst),
        )
    };
    let plugin = Plugin::create(|| {
        STARTED.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(Counted(&DROPPED)))
    });
    assert_eq!(counts(), (0, 0));

    assert!(plugin.register(true));
    assert_eq!(counts(), (1, 0));
    assert!(plugin.register(false));
    assert_eq!(counts(), (1, 1));
    assert!(plugin.register(true));
    assert!(plugin.register(false));
    assert_eq!(counts(), (2, 2));
    drop(plugin);
    assert_eq!(counts(), (2, 2));
}

#[test]
fn a_plugin_destroyed_without_deregistration_drops_its_feature() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    let plugin = Plugin::create(|| Ok(Box::new(Counted(&DROPPED))));
    assert!(plugin.register(true));

    drop(plugin);

    assert_eq!(DROPPED.load(Ordering::SeqCst), 1);
}

#[test]
fn a_start_that_fails_refuses_the_feature() {
    let plugin = Plugin::create(|| Err("a failure that is part of a test".into()));
    assert!(!plugin.register(true));
    assert!(plugin.register(false), "there is nothing to take back");
}

#[test]
fn a_start_that_panics_refuses_the_feature() {
    let plugin = Plugin::create(|| panic!("a panic that is part of a test"));
    assert!(!plugin.register(true));
    assert!(plugin.register(false));
}

#[test]
fn a_feature_that_panics_when_it_is_dropped_ends_at_the_border() {
    struct Panics;
    impl Feature for Panics {}
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("a panic that is part of a test");
        }
    }
    let plugin = Plugin::create(|| Ok(Box::new(Panics)));
    assert!(plugin.register(true));
    assert!(!plugin.register(false));
    // Not dropped twice, neither now nor when the plugin goes.
    assert!(plugin.register(false));
}
