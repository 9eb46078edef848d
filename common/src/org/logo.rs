//! An org's logo: a small picture of a few kinds, by its first bytes. None of them can hold a script.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::settings::InvalidSetting;
use crate::{id::LogoDigest, units::Bytes};

/// Largest logo.
pub const MAX_LOGO_BYTES: usize = 256 << 10;

/// What kind of picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MediaType {
    #[serde(rename = "image/png")]
    Png,
    #[serde(rename = "image/jpeg")]
    Jpeg,
    #[serde(rename = "image/webp")]
    Webp,
}

/// A logo in few words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogoView {
    #[serde(rename = "type")]
    pub media_type: MediaType,
    pub bytes: Bytes,
    pub blake3: LogoDigest,
}

/// A logo whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logo {
    pub about: LogoView,
    pub picture: Picture,
}

/// The bytes of a picture, whoever says that they are one. Base64 in JSON.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture(pub Vec<u8>);

impl MediaType {
    /// Returns what the picture's first bytes say.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let webp = bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP");
        if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
            Some(Self::Png)
        } else if bytes.starts_with(b"\xff\xd8\xff") {
            Some(Self::Jpeg)
        } else {
            webp.then_some(Self::Webp)
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Webp => "image/webp",
        }
    }
}

impl Logo {
    /// Takes a picture in.
    ///
    /// # Errors
    /// It is too large, or of no kind that a logo may be.
    pub fn new(picture: Picture) -> Result<Self, InvalidSetting> {
        let bytes = picture.0.len();
        check_size(bytes as u64)?;
        let media_type = MediaType::of(&picture.0).ok_or(InvalidSetting::NotAPicture)?;
        let about = LogoView {
            media_type,
            bytes: Bytes(bytes as u64),
            blake3: LogoDigest::new(*blake3::hash(&picture.0).as_bytes()),
        };
        Ok(Self { about, picture })
    }
}

/// Checks that a logo may have so many bytes.
///
/// # Errors
/// It is too large.
pub fn check_size(bytes: u64) -> Result<(), InvalidSetting> {
    if bytes <= MAX_LOGO_BYTES as u64 {
        return Ok(());
    }
    Err(InvalidSetting::TooLong {
        key: "logo",
        bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
        most: MAX_LOGO_BYTES,
    })
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Picture({} bytes)", self.0.len())
    }
}

impl Serialize for Picture {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&STANDARD.encode(&self.0))
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Picture {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            STANDARD.decode(text).map(Self).map_err(D::Error::custom)
        } else {
            Deserialize::deserialize(deserializer).map(Self)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logo_is_what_its_first_bytes_say_and_no_larger_than_it_may_be() {
        let logo = |bytes: &[u8]| Logo::new(Picture(bytes.to_vec())).map(|logo| logo.about);
        let known: [(&[u8], MediaType); 3] = [
            (b"\x89PNG\r\n\x1a\n", MediaType::Png),
            (b"\xff\xd8\xff\xe0", MediaType::Jpeg),
            (b"RIFF\0\0\0\0WEBPVP8 ", MediaType::Webp),
        ];
        for (bytes, kind) in known {
            assert_eq!(logo(bytes).unwrap().media_type, kind);
            assert_eq!(logo(&bytes[1..]), Err(InvalidSetting::NotAPicture));
        }
        let others: [&[u8]; 4] = [b"", b"<svg/>", b"GIF89a", b"RIFF\0\0\0\0WAVE"];
        for bytes in others {
            assert_eq!(logo(bytes), Err(InvalidSetting::NotAPicture));
        }
        let mut large = b"\xff\xd8\xff".to_vec();
        large.resize(MAX_LOGO_BYTES, 0);
        assert_eq!(logo(&large).unwrap().bytes, Bytes::kib(256));
        large.push(0);
        let error = logo(&large).unwrap_err().to_string();
        assert!(error.contains("262145"), "{error}");
    }

    #[test]
    fn a_picture_is_text_in_json_and_never_printed() {
        let logo = Logo::new(Picture(b"\xff\xd8\xff\xe0".to_vec())).unwrap();
        let json = serde_json::to_value(&logo).unwrap();
        assert_eq!(json["picture"], "/9j/4A==");
        assert_eq!(json["about"]["type"], "image/jpeg");
        assert_eq!(serde_json::from_value::<Logo>(json).unwrap(), logo);
        assert_eq!(format!("{:?}", logo.picture), "Picture(4 bytes)");
    }
}
