//! How a part of the owner's file is read: keys that are known, each at most once.

use serde::de::Error;

/// Makes a part of the file: a struct of optional keys, and its reader.
macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($key:literal => $field:ident: $value:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub(super) struct $name { $(pub(super) $field: Option<$value>,)* }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct KeysVisitor;
                impl<'de> serde::de::Visitor<'de> for KeysVisitor {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(f, "some of {}", [$($key),*].join(", "))
                    }

                    /// A heading with nothing below it.
                    fn visit_unit<E: serde::de::Error>(self) -> Result<$name, E> {
                        Ok($name::default())
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$name, A::Error> {
                        let mut section = $name::default();
                        while let Some(key) = map.next_key::<String>()? {
                            match key.as_str() {
                                $($key => {
                                    if section.$field.is_some() {
                                        return Err($crate::owner::keys::twice(&key));
                                    }
                                    section.$field = Some(map.next_value()?);
                                })*
                                _ => return Err($crate::owner::keys::unknown(&key, &[$($key),*])),
                            }
                        }
                        Ok(section)
                    }
                }
                deserializer.deserialize_any(KeysVisitor)
            }
        }
    };
}
pub(super) use section;

pub(super) fn twice<E: Error>(key: &str) -> E {
    E::custom(format_args!("the key {key} appears twice"))
}

pub(super) fn unknown<E: Error>(key: &str, known: &[&str]) -> E {
    let nearest = known
        .iter()
        .min_by_key(|candidate| strsim::damerau_levenshtein(candidate, key))
        .copied()
        .unwrap_or_default();
    E::custom(format_args!(
        "unknown key {:?}; the nearest known key is {nearest:?}",
        shown(key)
    ))
}

/// Returns what a mistake is quoted with.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Makes the reader of a value that is one of a few words.
macro_rules! word {
    ($name:ident { $($text:literal => $variant:ident,)* }) => {
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct WordVisitor;
                impl serde::de::Visitor<'_> for WordVisitor {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(f, "one of {}", [$($text),*].join(", "))
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        match text {
                            $($text => Ok($name::$variant),)*
                            other => Err(E::custom(format_args!(
                                "{:?} is not one of {}",
                                $crate::owner::keys::shown(other),
                                [$($text),*].join(", ")
                            ))),
                        }
                    }
                }
                deserializer.deserialize_any(WordVisitor)
            }
        }
    };
}
pub(super) use word;
