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
    /// Returns what the picture's frame says: what a whole one begins and ends with. Nothing is decoded.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        if is_png(bytes) {
            Some(Self::Png)
        } else if bytes.starts_with(b"\xff\xd8\xff") && bytes.ends_with(b"\xff\xd9") {
            Some(Self::Jpeg)
        } else {
            is_webp(bytes).then_some(Self::Webp)
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

/// A header with a size that is not nothing, and the chunk that ends one.
fn is_png(bytes: &[u8]) -> bool {
    let Some(rest) = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR") else {
        return false;
    };
    let side = |at: usize| rest.get(at..at + 4).is_some_and(|side| side != [0; 4]);
    side(0) && side(4) && rest.ends_with(b"\0\0\0\0IEND\xae\x42\x60\x82")
}

/// As long as it says, and with a first chunk of pixels or of what is about them.
fn is_webp(bytes: &[u8]) -> bool {
    let length = bytes.get(4..8).and_then(|length| length.try_into().ok());
    let length = length.map(|length| u64::from(u32::from_le_bytes(length)) + 8);
    bytes.starts_with(b"RIFF")
        && length == Some(bytes.len() as u64)
        && bytes.get(8..15) == Some(b"WEBPVP8")
        && bytes.len() > 20
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

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0:~\x9bU\
        \0\0\0\x0aIDATx\xdac\0\0\0\x02\0\x01HI\xaf\xa4\0\0\0\0IEND\xae\x42\x60\x82";
    const JPEG: &[u8] = b"\xff\xd8\xff\xe0 pixels \xff\xd9";
    const WEBP: &[u8] = b"RIFF\x12\0\0\0WEBPVP8 \x06\0\0\0pixels";

    #[test]
    fn a_logo_is_a_whole_picture_and_no_larger_than_it_may_be() {
        let logo = |bytes: &[u8]| Logo::new(Picture(bytes.to_vec())).map(|logo| logo.about);
        for (bytes, kind) in [
            (PNG, MediaType::Png),
            (JPEG, MediaType::Jpeg),
            (WEBP, MediaType::Webp),
        ] {
            assert_eq!(logo(bytes).unwrap().media_type, kind);
            // Whatever of it is missing.
            for cut in 0..bytes.len() {
                assert_eq!(
                    logo(&bytes[..cut]),
                    Err(InvalidSetting::NotAPicture),
                    "{cut}"
                );
            }
            assert_eq!(logo(&bytes[1..]), Err(InvalidSetting::NotAPicture));
        }
        let mut flat = PNG.to_vec();
        flat[19] = 0;
        let others: [&[u8]; 5] = [b"", b"<svg/>", b"GIF89a", b"RIFF\x04\0\0\0WAVE", &flat];
        for bytes in others {
            assert_eq!(logo(bytes), Err(InvalidSetting::NotAPicture));
        }
        let large = |bytes: usize| {
            let mut large = JPEG[..4].to_vec();
            large.resize(bytes - 2, 0);
            large.extend_from_slice(b"\xff\xd9");
            large
        };
        assert_eq!(logo(&large(MAX_LOGO_BYTES)).unwrap().bytes, Bytes::kib(256));
        let error = logo(&large(MAX_LOGO_BYTES + 1)).unwrap_err().to_string();
        assert!(error.contains("262145"), "{error}");
    }

    #[test]
    fn a_picture_is_text_in_json_and_never_printed() {
        let logo = Logo::new(Picture(b"\xff\xd8\xff\xe0\xff\xd9".to_vec())).unwrap();
        let json = serde_json::to_value(&logo).unwrap();
        assert_eq!(json["picture"], "/9j/4P/Z");
        assert_eq!(json["about"]["type"], "image/jpeg");
        assert_eq!(serde_json::from_value::<Logo>(json).unwrap(), logo);
        assert_eq!(format!("{:?}", logo.picture), "Picture(6 bytes)");
    }
}
