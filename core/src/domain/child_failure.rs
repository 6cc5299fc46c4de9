// SPDX-License-Identifier: GPL-2.0-or-later

//! What is done when CHILD_SAs that are wanted cannot be had from a gateway.

/// The values of `on_child_failure`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildFailure {
    /// They are initiated again on the same IKE_SA; a gateway with which none is up after several tries has failed.
    Failover,
    /// They are initiated again on the same IKE_SA, for as long as it is up.
    Retry,
    /// They come back with the next IKE_SA.
    No,
    /// As [`Self::Failover`], but the gateway has failed with the first try, and an IKE_SA without CHILD_SA does not
    /// end an outage.
    Yes,
}

impl ChildFailure {
    /// Every value with its words, the first of which is the one in replies.
    const WORDS: [(Self, &'static [&'static str]); 4] = [
        (Self::Failover, &["failover"]),
        (Self::Retry, &["retry"]),
        (Self::No, &["no", "false", "disabled", "0"]),
        (Self::Yes, &["yes", "true", "enabled", "1"]),
    ];

    /// The value that a word stands for.
    pub fn parse(word: &str) -> Option<Self> {
        let is_it = |written: &&str| written.eq_ignore_ascii_case(word);
        let mut all = Self::WORDS.into_iter();
        let (value, _) = all.find(|(_, words)| words.iter().any(is_it))?;
        Some(value)
    }

    /// The word in replies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failover => "failover",
            Self::Retry => "retry",
            Self::No => "no",
            Self::Yes => "yes",
        }
    }

    /// After how many tries in a row without any CHILD_SA the gateway has failed; None for never.
    pub fn tries(self) -> Option<u32> {
        match self {
            Self::Failover => Some(3),
            Self::Yes => Some(1),
            Self::Retry | Self::No => None,
        }
    }

    /// Whether an outage ends with a CHILD_SA, and not with the IKE_SA before.
    pub fn needs_child(self) -> bool {
        self == Self::Yes
    }

    /// Whether a missing CHILD_SA is initiated again while its IKE_SA is up.
    pub fn initiates_again(self) -> bool {
        self != Self::No
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_and_the_first_is_written() {
        for (value, words) in ChildFailure::WORDS {
            assert_eq!(value.as_str(), words[0]);
            for word in words {
                assert_eq!(ChildFailure::parse(word), Some(value), "{word}");
            }
        }
        assert_eq!(ChildFailure::parse("YES"), Some(ChildFailure::Yes));
        assert_eq!(ChildFailure::parse("maybe"), None);
    }
}
