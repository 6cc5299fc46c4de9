// SPDX-License-Identifier: GPL-2.0-or-later

//! The `log` crate's lines in charon's log, group CFG, governed by strongswan.conf.

use log::{Level, LevelFilter, Log, Metadata, Record};

use super::enumerate::c_string;
use super::sys;

/// Sends what is logged from here on to charon.
pub fn install() {
    // A second installation in the same process (tests) finds the first in place.
    let _ = log::set_logger(&CharonLog);
    // charon's loggers decide; trace is its level 3.
    log::set_max_level(LevelFilter::Trace);
}

struct CharonLog;

impl Log for CharonLog {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let level = match record.level() {
            Level::Error | Level::Warn | Level::Info => sys::level_t::LEVEL_CTRL,
            Level::Debug => sys::level_t::LEVEL_DIAG,
            Level::Trace => sys::level_t::LEVEL_RAW,
        };
        let line = c_string(&format!("[extsock] {}", record.args()));
        // SAFETY: dbg is set before any plugin is loaded and replaced, whole, only after all are
        // unloaded; the line is an argument, not the format, and lives for the call.
        unsafe {
            if let Some(dbg) = sys::dbg {
                dbg(
                    sys::debug_t::DBG_CFG,
                    level,
                    c"%s".as_ptr().cast_mut(),
                    line.as_ptr(),
                );
            }
        }
    }

    fn flush(&self) {}
}
