//! Where an org's bytes live: on the coordinator's disk, or in a bucket of S3-compatible storage.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Longest text of a place, in bytes.
pub const MAX_PLACE_BYTES: usize = 1024;
/// Longest prefix and longest endpoint, in bytes.
const MAX_PART_BYTES: usize = 256;
const MAX_REGION_BYTES: usize = 64;
/// Where nobody says: what servers that know no regions expect as well.
pub const DEFAULT_REGION: &str = "us-east-1";

/// Where bytes live, as people write it: `local`, or `s3://BUCKET/PREFIX?region=REGION&endpoint=URL`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum StoragePlace {
    /// The coordinator's disk.
    #[default]
    Local,
    S3(S3Place),
}

/// A bucket, or what is under a prefix in it. Who may use it is no part of this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Place {
    pub bucket: String,
    /// Without `/` at either end; empty is the whole bucket.
    pub prefix: String,
    /// `None` is Amazon's of the region.
    pub region: Option<String>,
    /// `None` is Amazon's. One that begins with `http://` was allowed expressly.
    pub endpoint: Option<String>,
}

/// Why a text is no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPlace {
    #[error("{0:?} is neither local nor s3://BUCKET/PREFIX")]
    Unknown(String),
    #[error("it is longer than {MAX_PLACE_BYTES} bytes")]
    TooLong,
    #[error(
        "{0:?} is no name of a bucket: 3 to 63 lower-case letters, digits, '.' and '-', with a letter or a digit at either end"
    )]
    Bucket(String),
    #[error(
        "{0:?} is no prefix: up to {MAX_PART_BYTES} letters, digits, '.', '_', '=' and '-', in parts between '/'"
    )]
    Prefix(String),
    #[error("there is no {0:?} to say of a bucket; there are region, endpoint and insecure")]
    Key(String),
    #[error("{0} is said twice")]
    Twice(&'static str),
    #[error("{0:?} is no region: lower-case letters, digits and '-'")]
    Region(String),
    #[error("{0:?} is no endpoint: https://HOST, https://HOST:PORT, or one with a path")]
    Endpoint(String),
    #[error(
        "{0:?} sends data and signatures unprotected: use https, or add insecure=yes where the network is trusted"
    )]
    Unprotected(String),
    #[error("insecure=yes is for an endpoint that begins with http://")]
    NothingInsecure,
}

impl StoragePlace {
    pub const fn is_local(&self) -> bool {
        matches!(self, Self::Local)
    }
}

impl FromStr for StoragePlace {
    type Err = InvalidPlace;

    fn from_str(text: &str) -> Result<Self, InvalidPlace> {
        if text.len() > MAX_PLACE_BYTES {
            return Err(InvalidPlace::TooLong);
        }
        if text == "local" {
            return Ok(Self::Local);
        }
        let rest = text.strip_prefix("s3://");
        let rest = rest.ok_or_else(|| InvalidPlace::Unknown(text.to_owned()))?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
        if !is_bucket(bucket) {
            return Err(InvalidPlace::Bucket(bucket.to_owned()));
        }
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        if !is_prefix(prefix) {
            return Err(InvalidPlace::Prefix(prefix.to_owned()));
        }
        let (region, endpoint) = details(query)?;
        Ok(Self::S3(S3Place {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            region,
            endpoint,
        }))
    }
}

/// Reads what stands behind the `?`: the region and the endpoint.
fn details(query: &str) -> Result<(Option<String>, Option<String>), InvalidPlace> {
    let (mut region, mut endpoint, mut insecure) = (None, None, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (place, key) = match key {
            "region" => (&mut region, "region"),
            "endpoint" => (&mut endpoint, "endpoint"),
            "insecure" => (&mut insecure, "insecure"),
            other => return Err(InvalidPlace::Key(other.to_owned())),
        };
        if place.replace(value.to_owned()).is_some() {
            return Err(InvalidPlace::Twice(key));
        }
    }
    if let Some(region) = region.as_ref().filter(|region| !is_region(region)) {
        return Err(InvalidPlace::Region(region.clone()));
    }
    let allowed = match insecure.as_deref() {
        None => false,
        Some("yes") => true,
        Some(other) => return Err(InvalidPlace::Key(format!("insecure={other}"))),
    };
    let open = endpoint
        .as_ref()
        .is_some_and(|endpoint| endpoint.starts_with("http://"));
    match &mut endpoint {
        Some(url) if !is_endpoint(url) => return Err(InvalidPlace::Endpoint(url.clone())),
        Some(url) if open && !allowed => return Err(InvalidPlace::Unprotected(url.clone())),
        Some(url) => url.truncate(url.trim_end_matches('/').len()),
        None => {}
    }
    if allowed && !open {
        return Err(InvalidPlace::NothingInsecure);
    }
    Ok((region, endpoint))
}

fn is_bucket(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '-';
    (3..=63).contains(&text.len())
        && text.chars().all(inside)
        && edge(text.chars().next())
        && edge(text.chars().next_back())
        && !text.contains("..")
}

fn is_prefix(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '=' | '-');
    let part =
        |part: &str| !part.is_empty() && part != "." && part != ".." && part.chars().all(plain);
    text.is_empty() || (text.len() <= MAX_PART_BYTES && text.split('/').all(part))
}

fn is_region(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=MAX_REGION_BYTES).contains(&text.len()) && text.chars().all(plain)
}

fn is_endpoint(text: &str) -> bool {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '/' | '[' | ']');
    rest.is_some_and(|rest| {
        let host = rest.split('/').next().unwrap_or_default();
        !host.is_empty() && !host.starts_with(':') && rest.chars().all(plain)
    }) && text.len() <= MAX_PART_BYTES
}

impl fmt::Display for StoragePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.pad("local"),
            Self::S3(place) => place.fmt(f),
        }
    }
}

impl fmt::Display for S3Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)?;
        if !self.prefix.is_empty() {
            write!(f, "/{}", self.prefix)?;
        }
        let mut mark = '?';
        let mut say = |key: &str, value: &str| {
            let said = write!(f, "{mark}{key}={value}");
            mark = '&';
            said
        };
        if let Some(region) = &self.region {
            say("region", region)?;
        }
        if let Some(endpoint) = &self.endpoint {
            say("endpoint", endpoint)?;
            if endpoint.starts_with("http://") {
                say("insecure", "yes")?;
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for StoragePlace {
    type Error = InvalidPlace;

    fn try_from(text: String) -> Result<Self, InvalidPlace> {
        text.parse()
    }
}

impl From<StoragePlace> for String {
    fn from(place: StoragePlace) -> Self {
        place.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_one_line_and_comes_back() {
        for text in [
            "local",
            "s3://data",
            "s3://my-data.2/a/b_c?region=eu-central-1",
            "s3://data/x?endpoint=https://s3.lab.example:9000/path",
            "s3://data?region=garage&endpoint=http://10.0.0.1:3900&insecure=yes",
        ] {
            let place: StoragePlace = text.parse().unwrap();
            assert_eq!(place.to_string(), text);
            let json = serde_json::to_string(&place).unwrap();
            assert_eq!(json, format!("{text:?}"));
            assert_eq!(serde_json::from_str::<StoragePlace>(&json).unwrap(), place);
        }
        let same = ["s3://data/x/", "s3://data/x?", "s3://data/x"];
        let places = same.map(|text| text.parse::<StoragePlace>().unwrap());
        assert!(places.iter().all(|place| *place == places[0]));
        let slash = "s3://data?endpoint=https://s3.example/".parse::<StoragePlace>();
        assert_eq!(
            slash.unwrap().to_string(),
            "s3://data?endpoint=https://s3.example"
        );
    }

    #[test]
    fn what_is_no_place_is_refused_with_what_is_wrong() {
        let refused = |text: &str| text.parse::<StoragePlace>().unwrap_err().to_string();
        for (text, why) in [
            ("", "neither local nor"),
            ("Local", "neither local nor"),
            ("gs://data", "neither local nor"),
            ("s3://", "no name of a bucket"),
            ("s3://Data", "no name of a bucket"),
            ("s3://a..b", "no name of a bucket"),
            ("s3://-ab", "no name of a bucket"),
            ("s3://data/../other", "no prefix"),
            ("s3://data//x", "no prefix"),
            ("s3://data/a b", "no prefix"),
            ("s3://data?zone=1", "no \"zone\""),
            ("s3://data?region=a&region=b", "region is said twice"),
            ("s3://data?region=", "no region"),
            ("s3://data?endpoint=s3.example", "no endpoint"),
            ("s3://data?endpoint=https://", "no endpoint"),
            ("s3://data?endpoint=https://u:p@s3.example", "no endpoint"),
            ("s3://data?endpoint=http://s3.example", "unprotected"),
            ("s3://data?insecure=yes", "begins with http://"),
            (
                "s3://data?endpoint=http://s3.example&insecure=1",
                "insecure=1",
            ),
        ] {
            let said = refused(text);
            assert!(said.contains(why), "{text}: {said}");
        }
        assert!(refused(&format!("s3://data/{}", "x".repeat(2000))).contains("longer"));
        assert!(refused(&format!("s3://data/{}", "x".repeat(300))).contains("no prefix"));
    }
}
