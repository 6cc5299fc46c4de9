// SPDX-License-Identifier: GPL-2.0-or-later

//! The tables of options: how an option is read, and its documentation.

use std::time::Duration;

use super::model::Mark;
use super::reader::{Fields, Node};
use super::secret::Secret;
use crate::domain::child_failure::ChildFailure;
use crate::error::Result;
use crate::strongswan::Version;

/// An option.
pub(super) struct Setting<T> {
    pub(super) name: &'static str,
    /// The first version of strongSwan that has it; None if all supported versions do.
    pub(super) since: Option<Version>,
    pub(super) form: Form,
    /// The default as it would be written in a document, or what it is derived from.
    pub(super) default: &'static str,
    /// One sentence of documentation.
    pub(super) about: &'static str,
    pub(super) set: fn(&mut T, Node) -> Result<()>,
}

/// The values that an option takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Form {
    Boolean,
    /// From, to.
    Number(u64, u64),
    /// A number that need not be whole: from, to.
    Fraction(f64, f64),
    Words(&'static [Word]),
    Text,
    /// Text items, as an array or separated by commas.
    List,
    /// Whole seconds.
    Time,
    /// Seconds, also fractions of them.
    PreciseTime,
    Bytes,
    Dscp,
    /// Hex digits.
    Hex,
    IfId,
    Mark,
    SetMark,
    Padding,
    /// An object of that section.
    Object(&'static str),
    /// Objects with names of that section.
    Named(&'static str),
    /// An object of that section, or an array of them, under the name and under any that begins with it.
    Rounds(&'static str),
    /// Text items, or an array of them and objects of that section.
    Gateways(&'static str),
    /// A file, or an object of that section; the latter also under any name that begins with this one.
    FileOrObject(&'static str),
    /// Objects of that section, under the name and under any that begins with it.
    Objects(&'static str),
    /// Identities: a text or an array of them, under the name and under any that begins with it.
    Owners,
}

/// One of the words that an option takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Word {
    pub(super) name: &'static str,
    /// See [`Setting::since`].
    pub(super) since: Option<Version>,
}

impl Word {
    /// The word and its first version, if not all supported versions have it.
    pub(super) fn newer(&self) -> Option<(&'static str, Version)> {
        self.since.map(|since| (self.name, since))
    }
}

impl Form {
    /// Whether the option may also have a name with a suffix.
    pub(super) fn may_have_suffix(self) -> bool {
        self == Self::Owners || self.is_section()
    }

    /// Whether with a suffix it has to be an object or an array of objects.
    pub(super) fn is_section(self) -> bool {
        matches!(
            self,
            Self::Rounds(_) | Self::FileOrObject(_) | Self::Objects(_)
        )
    }
}

impl<T> Setting<T> {
    /// Error if the option, or the word that is given for it, came with a later strongSwan.
    fn check_since(&self, node: &Node) -> Result<()> {
        if let Some(since) = self.since {
            node.check_version("", since)?;
        }
        if let (Some(text), Form::Words(words)) = (node.as_text(), self.form) {
            let given = |word: &&Word| word.name.eq_ignore_ascii_case(text);
            if let Some((word, since)) = words.iter().find(given).and_then(Word::newer) {
                node.check_version(&format!("{word:?} "), since)?;
            }
        }
        Ok(())
    }
}

impl Fields<'_> {
    /// Reads the fields with the options of the tables, in the order of the document; reports invalid values and
    /// unknown fields.
    pub(super) fn read<T>(self, target: &mut T, tables: &[&[Setting<T>]]) {
        let report = self.report();
        let known = || tables.iter().flat_map(|table| table.iter());
        for (key, node) in self.into_nodes() {
            let is_section = node.is_section();
            let begins = |option: &&Setting<T>| {
                option.form.may_have_suffix()
                    && key.starts_with(option.name)
                    && (is_section || !option.form.is_section())
            };
            let option = known()
                .find(|option| option.name == key)
                .or_else(|| known().find(begins));
            let result = match option {
                Some(option) => option
                    .check_since(&node)
                    .and_then(|()| (option.set)(target, node)),
                None => Err(node.unknown(&known().map(|o| o.name).collect::<Vec<_>>())),
            };
            report.keep(result);
        }
    }
}

/// A form and the function that reads it.
pub(super) struct Kind<V> {
    pub(super) form: Form,
    pub(super) read: fn(Node) -> Result<V>,
}

const fn kind<V>(form: Form, read: fn(Node) -> Result<V>) -> Kind<V> {
    Kind { form, read }
}

/// `Some` version, or `None` where none is given.
macro_rules! since {
    () => {
        None
    };
    ($version:tt) => {
        Some(crate::strongswan::Version($version))
    };
}

/// The kind of an option that takes one of some words: `word => value` or `word since [6, 0, 2] => value`.
macro_rules! words {
    ($($word:literal $(since $version:tt)? => $value:expr),+ $(,)?) => {
        crate::config::setting::Kind {
            form: crate::config::setting::Form::Words(&[$(crate::config::setting::Word {
                name: $word,
                since: crate::config::setting::since!($($version)?),
            }),+]),
            read: |node| node.keyword(&[$(($word, $value)),+]),
        }
    };
}

pub(super) const BOOLEAN: Kind<bool> = kind(Form::Boolean, |n| n.boolean());
/// An IKE identity.
pub(super) const IDENTITY: Kind<String> = kind(Form::Text, |n| n.identity());
pub(super) const TEXT: Kind<String> = kind(Form::Text, |n| n.text());
pub(super) const TEXTS: Kind<Vec<String>> = kind(Form::List, |n| n.texts());
/// Without splitting at commas.
pub(super) const WHOLE_TEXTS: Kind<Vec<String>> = kind(Form::List, |n| n.whole_texts());
pub(super) const OWNERS: Kind<Vec<String>> = kind(Form::Owners, |n| n.identities());
pub(super) const SECRET: Kind<Secret> = kind(Form::Text, |n| n.secret());
pub(super) const PASSPHRASE: Kind<Secret> = kind(Form::Text, |n| n.passphrase());
pub(super) const ADDRESSES: Kind<Vec<String>> = kind(Form::List, |n| n.addresses());
pub(super) const IP_ADDRESSES: Kind<Vec<String>> = kind(Form::List, |n| n.ip_addresses());
pub(super) const TRAFFIC_SELECTORS: Kind<Vec<String>> = kind(Form::List, |n| n.traffic_selectors());
pub(super) const TIME: Kind<Duration> = kind(Form::Time, |n| n.time());
pub(super) const PRECISE_TIME: Kind<Duration> = kind(Form::PreciseTime, |n| n.precise_time());
pub(super) const BYTES: Kind<u64> = kind(Form::Bytes, |n| n.bytes());
pub(super) const DSCP: Kind<u8> = kind(Form::Dscp, |n| n.dscp());
pub(super) const HANDLE: Kind<Vec<u8>> = kind(Form::Hex, |n| n.handle());
/// Up to `i32::MAX`: charon's type for slots is int.
pub(super) const SLOT: Kind<u32> = kind(Form::Number(0, i32::MAX as u64), |n| {
    n.number(0..=i32::MAX.unsigned_abs())
});
pub(super) const IF_ID: Kind<u32> = kind(Form::IfId, |n| n.if_id());
pub(super) const MARK: Kind<Mark> = kind(Form::Mark, |n| n.mark());
pub(super) const SET_MARK: Kind<Mark> = kind(Form::SetMark, |n| n.set_mark());
pub(super) const PADDING: Kind<u32> = kind(Form::Padding, |n| n.padding());
pub(super) const PORT: Kind<u16> =
    kind(Form::Number(1, u16::MAX as u64), |n| n.number(1..=u16::MAX));
/// A local port may be 0.
pub(super) const OWN_PORT: Kind<u16> =
    kind(Form::Number(0, u16::MAX as u64), |n| n.number(0..=u16::MAX));
pub(super) const NUMBER: Kind<u32> =
    kind(Form::Number(0, u32::MAX as u64), |n| n.number(0..=u32::MAX));
pub(super) const COUNT: Kind<u64> = kind(Form::Number(0, u64::MAX), |n| n.number(0..=u64::MAX));
pub(super) const GROWTH: Kind<f64> = kind(Form::Fraction(1.0, f64::MAX), |n| {
    n.fraction(1.0..=f64::MAX, "a number of at least 1")
});
pub(super) const PART: Kind<f64> = kind(Form::Fraction(0.0, 1.0), |n| {
    n.fraction(0.0..=1.0, "a number from 0 to 1")
});

/// A boolean is taken as well: of the option's values these were the first two.
pub(super) const CHILD_FAILURE: Kind<ChildFailure> = words! {
    "failover" => ChildFailure::Failover,
    "retry" => ChildFailure::Retry,
    "no" => ChildFailure::No,
    "yes" => ChildFailure::Yes,
    "false" => ChildFailure::No,
    "true" => ChildFailure::Yes,
    "disabled" => ChildFailure::No,
    "enabled" => ChildFailure::Yes,
    "0" => ChildFailure::No,
    "1" => ChildFailure::Yes,
};

/// Replaces the default, unless the list is empty.
pub(super) fn set_list(target: &mut Vec<String>, list: Vec<String>) {
    if !list.is_empty() {
        *target = list;
    }
}

/// A table of options: `name: kind, default, description => expression that sets it;`, also
/// `name since [6, 0, 2]: ...`. Options that need more than their value have a table of
/// `name as form, default, description => expression that reads it;`.
macro_rules! settings {
    ($target:ty { $($name:literal $(since $version:tt)?: $kind:expr, $default:literal, $about:literal
                    => |$draft:ident, $value:ident| $set:expr;)* }) => {
        &[$(crate::config::setting::Setting::<$target> {
            name: $name,
            since: crate::config::setting::since!($($version)?),
            form: $kind.form,
            default: $default,
            about: $about,
            set: |$draft: &mut $target, node| {
                let $value = ($kind.read)(node)?;
                $set;
                Ok(())
            },
        }),*]
    };
    ($target:ty { $($name:literal as $form:expr, $default:literal, $about:literal
                    => |$draft:ident, $node:ident| $read:expr;)* }) => {
        &[$(crate::config::setting::Setting::<$target> {
            name: $name,
            since: None,
            form: $form,
            default: $default,
            about: $about,
            set: |$draft: &mut $target, $node| $read,
        }),*]
    };
}

pub(super) use {settings, since, words};
