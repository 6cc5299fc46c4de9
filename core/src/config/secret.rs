// SPDX-License-Identifier: GPL-2.0-or-later

//! Shared secrets.

use std::fmt;

use base64ct::{Base64Unpadded, Encoding};
use zeroize::Zeroizing;

/// The bytes of a shared secret; wiped when dropped, never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Reads swanctl's notation: `0x` and hex digits, `0s` and base64, or the text itself.
    ///
    /// The error says what was expected, and does not show the text.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let bytes = match text.get(..2) {
            Some(prefix) if prefix.eq_ignore_ascii_case("0x") => {
                decode_hex(&text[2..]).ok_or("hex digits after 0x")?
            }
            Some(prefix) if prefix.eq_ignore_ascii_case("0s") => {
                let text = text[2..].trim_end_matches('=');
                let bytes = Base64Unpadded::decode_vec(text).map_err(|_| "base64 after 0s")?;
                Zeroizing::new(bytes)
            }
            _ => Zeroizing::new(text.as_bytes().to_vec()),
        };
        if bytes.is_empty() {
            return Err("a secret that is not empty");
        }
        Ok(Self(bytes))
    }

    /// A passphrase, which is not decoded; None if it is empty.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(Zeroizing::new(text.as_bytes().to_vec())))
    }

    /// The secret itself.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Reads hex digits as charon does: colons between bytes are allowed, an odd count gets a leading zero.
pub(super) fn decode_hex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let digits = || text.chars().filter(|c| *c != ':');
    let count = digits().count();
    let mut bytes = Zeroizing::new(Vec::with_capacity(count.div_ceil(2)));
    let mut byte = 0;
    for (position, digit) in digits().enumerate() {
        byte = byte << 4 | u8::try_from(digit.to_digit(16)?).ok()?;
        if (count - position) % 2 == 1 {
            bytes.push(byte);
            byte = 0;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        Secret::parse(text).unwrap().as_bytes().to_vec()
    }

    #[test]
    fn text_hex_and_base64_are_read_as_swanctl_does() {
        assert_eq!(bytes("p@ss wörd"), "p@ss wörd".as_bytes());
        assert_eq!(bytes("0x00ff:1A"), [0x00, 0xff, 0x1a]);
        assert_eq!(bytes("0Xfff"), [0x0f, 0xff]);
        assert_eq!(bytes("0sAAEC/w=="), [0, 1, 2, 255]);
        assert_eq!(bytes("0sAAEC/w"), [0, 1, 2, 255]);
        assert_eq!(bytes("0"), b"0");
        assert_eq!(bytes("é"), "é".as_bytes());
    }

    #[test]
    fn unusable_secrets_are_refused_without_showing_them() {
        for text in ["", "0x", "0xhello", "0s", "0shello!", "0s===="] {
            let expected = Secret::parse(text).unwrap_err();
            assert!(!expected.contains("hello"), "{expected}");
        }
    }

    #[test]
    fn debug_output_hides_the_secret() {
        let secret = Secret::parse("hunter2").unwrap();
        assert_eq!(format!("{secret:?}"), "[secret]");
    }
}
