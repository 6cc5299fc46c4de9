// SPDX-License-Identifier: GPL-2.0-or-later

//! Reads a CHILD_SA.

use std::time::Duration;

use super::connection::{read_lifetime, set, set_list, set_once};
use super::model::{Action, Child, CopyDscp, Mode};
use super::reader::{names, Fields, Node, Setting};
use crate::error::Result;

/// Reads the options of a CHILD_SA.
pub(super) fn read(name: String, mut fields: Fields) -> Result<Child> {
    let mut draft = Draft::new(name);
    fields.read(&mut draft, CHILD_CFG)?;
    fields.finish(&names(CHILD_CFG).collect::<Vec<_>>())?;
    Ok(draft.finish())
}

const CHILD_CFG: &[Setting<Draft>] = &[
    ("mode", |d, n| {
        let modes = [
            ("tunnel", Mode::Tunnel),
            ("transport", Mode::Transport),
            ("beet", Mode::Beet),
        ];
        set(&mut d.child.mode, n.keyword(&modes)?)
    }),
    ("start_action", |d, n| {
        set(&mut d.child.start_action, action(&n)?)
    }),
    ("dpd_action", |d, n| {
        set(&mut d.child.dpd_action, action(&n)?)
    }),
    ("close_action", |d, n| {
        set(&mut d.child.close_action, action(&n)?)
    }),
    ("copy_dscp", |d, n| {
        let ways = [
            ("out", CopyDscp::Out),
            ("in", CopyDscp::In),
            ("yes", CopyDscp::Yes),
            ("no", CopyDscp::No),
        ];
        set(&mut d.child.copy_dscp, n.keyword(&ways)?)
    }),
    ("local_ts", |d, n| {
        set_list(&mut d.child.local_ts, n.texts()?)
    }),
    ("remote_ts", |d, n| {
        set_list(&mut d.child.remote_ts, n.texts()?)
    }),
    ("esp_proposals", |d, n| {
        set(&mut d.child.esp_proposals, n.texts()?)
    }),
    ("rekey_time", |d, n| set_once(&mut d.rekey_time, &n)),
    ("lifetime", |d, n| read_lifetime(&mut d.rekey_time, n)),
    ("life_time", |d, n| set_once(&mut d.life_time, &n)),
    ("rand_time", |d, n| set_once(&mut d.rand_time, &n)),
];

/// The words of the existing plugin, in which `clear` means trap, unlike in swanctl.
fn action(node: &Node) -> Result<Action> {
    node.keyword(&[
        ("none", Action::None),
        ("trap", Action::Trap),
        ("start", Action::Start),
        ("clear", Action::Trap),
        ("hold", Action::Trap),
        ("restart", Action::Start),
    ])
}

/// swanctl's default.
const REKEY_TIME: Duration = Duration::from_secs(60 * 60);

/// A CHILD_SA whose derived defaults are not known yet.
struct Draft {
    child: Child,
    rekey_time: Option<Duration>,
    life_time: Option<Duration>,
    rand_time: Option<Duration>,
}

impl Draft {
    fn new(name: String) -> Self {
        let child = Child {
            name,
            mode: Mode::Tunnel,
            start_action: Action::None,
            dpd_action: Action::None,
            close_action: Action::None,
            copy_dscp: CopyDscp::Out,
            local_ts: vec!["dynamic".to_owned()],
            remote_ts: vec!["dynamic".to_owned()],
            esp_proposals: Vec::new(),
            rekey_time: Duration::ZERO,
            life_time: Duration::ZERO,
            rand_time: Duration::ZERO,
        };
        Self {
            child,
            rekey_time: None,
            life_time: None,
            rand_time: None,
        }
    }

    /// As charon's vici_config.c derives the defaults.
    fn finish(self) -> Child {
        let rekey = self.rekey_time.unwrap_or(REKEY_TIME);
        let life = Duration::from_secs(rekey.as_secs() * 110 / 100);
        let life = self.life_time.unwrap_or(life);
        Child {
            rekey_time: rekey,
            life_time: life,
            rand_time: self.rand_time.unwrap_or(life.saturating_sub(rekey)),
            ..self.child
        }
    }
}
