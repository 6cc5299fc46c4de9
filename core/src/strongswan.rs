// SPDX-License-Identifier: GPL-2.0-or-later

//! Versions of strongSwan, which differ in what a configuration may say and in what it need not say.

use std::fmt;
use std::str::FromStr;

/// A version of strongSwan: its three numbers.
///
/// ```
/// use extsock_core::strongswan::Version;
///
/// let version: Version = "6.0.1".parse()?;
/// assert!(version < Version::NEWEST);
/// assert_eq!(version.to_string(), "6.0.1");
/// # Ok::<(), extsock_core::strongswan::NoVersion>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub [u32; 3]);

impl Version {
    /// The newest version of which the options are known.
    pub const NEWEST: Self = Self([6, 1, 0]);
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.0;
        write!(f, "{major}.{minor}.{patch}")
    }
}

impl FromStr for Version {
    type Err = NoVersion;

    /// Missing numbers are zero; what follows the digits of one, as in `6.0.1rc1`, does not count.
    fn from_str(text: &str) -> Result<Self, NoVersion> {
        let mut numbers = [0; 3];
        let mut parts = text.split('.');
        for (number, part) in numbers.iter_mut().zip(parts.by_ref()) {
            let end = part.find(|c: char| !c.is_ascii_digit());
            let digits = &part[..end.unwrap_or(part.len())];
            *number = digits.parse().map_err(|_| NoVersion)?;
        }
        match parts.next() {
            None => Ok(Self(numbers)),
            Some(_) => Err(NoVersion),
        }
    }
}

/// The text is no version of strongSwan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a version of strongSwan, such as 6.0.1")]
pub struct NoVersion;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared() {
        let version = |text: &str| text.parse::<Version>();
        assert_eq!(version("5.9.8"), Ok(Version([5, 9, 8])));
        assert_eq!(version("6.0.1rc1"), version("6.0.1"));
        assert_eq!(version("6"), version("6.0.0"));
        assert!(version("5.9.14").unwrap() > version("5.9.8").unwrap());
        for text in [
            "",
            "6..1",
            "six",
            "6.0.x",
            "6.0.0.1",
            "-6.0.1",
            "6.0.99999999999",
        ] {
            assert_eq!(version(text), Err(NoVersion), "{text:?}");
        }
    }
}
