// SPDX-License-Identifier: GPL-2.0-or-later

//! Error codes and the error type of the whole plugin.

use std::fmt;

use serde::ser::{Serialize, SerializeStruct, Serializer};

/// Result with the plugin's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, in a form for programs ([`ErrorCode`]) and one for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Error {
    /// Class of the error.
    pub code: ErrorCode,
    /// English text that names what the user wrote and what was expected; never holds a secret.
    pub message: String,
}

impl Error {
    /// Error of the given class.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// [`ErrorCode::InvalidParameter`] with a text.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidParameter, message)
    }

    /// [`ErrorCode::ParsingFailed`] with a text.
    pub fn parsing(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::ParsingFailed, message)
    }
}

impl Serialize for Error {
    /// `{"code":7,"name":"PARSING_FAILED","message":"..."}`
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Error", 3)?;
        object.serialize_field("code", &(self.code as i32))?;
        object.serialize_field("name", self.code.name())?;
        object.serialize_field("message", &self.message)?;
        object.end()
    }
}

/// Classes of errors; names and numbers are part of the socket protocol.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// No error.
    Success = 0,
    /// A request or its argument is not acceptable.
    InvalidParameter,
    /// A failover configuration could not be created.
    ConfigCreationFailed,
    /// The connection has no other security gateway to fail over to.
    NoAlternativeSegw,
    /// The connection failed over as often as is allowed without an established IKE_SA.
    MaxRetryExceeded,
    /// Out of memory.
    MemoryAllocationFailed,
    /// A call into charon failed.
    StrongswanApiFailed,
    /// The JSON configuration is not valid.
    ParsingFailed,
    /// A security gateway did not answer in time.
    ConnectionTimeout,
}

impl ErrorCode {
    /// Name in the socket protocol, such as `PARSING_FAILED`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "SUCCESS",
            Self::InvalidParameter => "INVALID_PARAMETER",
            Self::ConfigCreationFailed => "CONFIG_CREATION_FAILED",
            Self::NoAlternativeSegw => "NO_ALTERNATIVE_SEGW",
            Self::MaxRetryExceeded => "MAX_RETRY_EXCEEDED",
            Self::MemoryAllocationFailed => "MEMORY_ALLOCATION_FAILED",
            Self::StrongswanApiFailed => "STRONGSWAN_API_FAILED",
            Self::ParsingFailed => "PARSING_FAILED",
            Self::ConnectionTimeout => "CONNECTION_TIMEOUT",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(error_to_string(*self))
    }
}

/// English text of an error code.
pub fn error_to_string(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::Success => "success",
        ErrorCode::InvalidParameter => "invalid parameter",
        ErrorCode::ConfigCreationFailed => "creating the failover configuration failed",
        ErrorCode::NoAlternativeSegw => "no alternative security gateway",
        ErrorCode::MaxRetryExceeded => "maximum number of retries exceeded",
        ErrorCode::MemoryAllocationFailed => "memory allocation failed",
        ErrorCode::StrongswanApiFailed => "a call into strongSwan failed",
        ErrorCode::ParsingFailed => "parsing the configuration failed",
        ErrorCode::ConnectionTimeout => "connection timed out",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_documented_numbers_and_names() {
        let documented = [
            (0, "SUCCESS", ErrorCode::Success),
            (1, "INVALID_PARAMETER", ErrorCode::InvalidParameter),
            (2, "CONFIG_CREATION_FAILED", ErrorCode::ConfigCreationFailed),
            (3, "NO_ALTERNATIVE_SEGW", ErrorCode::NoAlternativeSegw),
            (4, "MAX_RETRY_EXCEEDED", ErrorCode::MaxRetryExceeded),
            (
                5,
                "MEMORY_ALLOCATION_FAILED",
                ErrorCode::MemoryAllocationFailed,
            ),
            (6, "STRONGSWAN_API_FAILED", ErrorCode::StrongswanApiFailed),
            (7, "PARSING_FAILED", ErrorCode::ParsingFailed),
            (8, "CONNECTION_TIMEOUT", ErrorCode::ConnectionTimeout),
        ];
        let mut texts = std::collections::HashSet::new();
        for (number, name, code) in documented {
            assert_eq!((code as i32, code.name()), (number, name));
            assert!(texts.insert(error_to_string(code)));
        }
    }

    #[test]
    fn an_error_is_an_object_with_code_name_and_message() {
        let error = Error::parsing("connections: expected an object");
        assert_eq!(
            serde_json::to_string(&error).unwrap(),
            r#"{"code":7,"name":"PARSING_FAILED","message":"connections: expected an object"}"#
        );
        assert_eq!(
            Error::invalid("no name").to_string(),
            "invalid parameter: no name"
        );
    }
}
